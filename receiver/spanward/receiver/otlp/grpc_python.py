"""OTLP over gRPC as grpcio serves it."""

from __future__ import annotations

from typing import Any, Final

import grpc
import grpc.aio

from spanward.receiver.otlp.config import GrpcConfig
from spanward.receiver.otlp.grpc_method import GRACE_SECONDS, METHOD, OPTION, SERVICE, TRANSPORT, cannot_listen
from spanward.receiver.otlp.service import ExportError, TraceService
from spanward.receiver.otlp.status import to_status
from spanward.sidecar.component import Encoding
from spanward.sidecar.endpoint import split_endpoint

_CODES: Final = {code.value[0]: code for code in grpc.StatusCode}


class PythonGrpcServer:
    """Listens for TraceService/Export.

    Attributes:
        port: the bound port; 0 while it is not bound.
    """

    def __init__(self, config: GrpcConfig, service: TraceService, *, max_bytes: int, tenant_header: str) -> None:
        self._config = config
        self._service = service
        self._max_bytes = max_bytes
        self._tenant_header = tenant_header.lower()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        """Bind.

        Raises:
            ConfigurationError: the endpoint is not host:port, or cannot be bound.
        """
        split_endpoint(self._config.endpoint, OPTION)
        server = grpc.aio.server(options=_options(self._config, self._max_bytes))
        handler = grpc.unary_unary_rpc_method_handler(self._export)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
        try:
            self.port = server.add_insecure_port(self._config.endpoint)
        except RuntimeError as error:
            raise cannot_listen(self._config.endpoint) from error
        await server.start()
        self._server = server

    async def shutdown(self) -> None:
        """Refuse new calls, let those in flight finish, unbind. Idempotent."""
        if self._server is not None:
            await self._server.stop(GRACE_SECONDS)
            self._server = None

    async def _export(self, body: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        try:
            response = await self._service.export(body, Encoding.PROTOBUF, self._tenant(context), TRANSPORT)
        except ExportError as error:
            status = to_status(error)
            details = (("grpc-status-details-bin", status.SerializeToString()),)
            code = _CODES.get(error.code, grpc.StatusCode.UNKNOWN)
            await context.abort(code, error.message, details)
        return response.SerializeToString()

    def _tenant(self, context: grpc.aio.ServicerContext[bytes, bytes]) -> str | None:
        for key, value in context.invocation_metadata() or ():
            if self._tenant_header and key == self._tenant_header:
                return value if isinstance(value, str) else value.decode("utf-8", "replace")
        return None


def _options(config: GrpcConfig, max_bytes: int) -> list[tuple[str, Any]]:
    keepalive = config.keepalive
    options = [
        ("grpc.max_receive_message_length", max_bytes),
        ("grpc.max_concurrent_streams", config.max_concurrent_streams),
        ("grpc.keepalive_time_ms", int(keepalive.time_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", int(keepalive.timeout_seconds * 1000)),
        # a second listener on the same port must fail, not share the traffic
        ("grpc.so_reuseport", 0),
    ]
    if keepalive.max_idle_seconds:
        options.append(("grpc.max_connection_idle_ms", int(keepalive.max_idle_seconds * 1000)))
    return options
