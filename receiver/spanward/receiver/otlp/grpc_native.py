"""OTLP over gRPC as spanward-native serves it: on a thread of its own, which hands over calls in batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from spanward.receiver.otlp.config import GrpcConfig
from spanward.receiver.otlp.grpc_method import GRACE_SECONDS, METHOD, OPTION, SERVICE, TRANSPORT, cannot_listen
from spanward.receiver.otlp.service import ExportError, TraceService
from spanward.receiver.otlp.status import to_status
from spanward.sidecar.component import Encoding
from spanward.sidecar.endpoint import split_endpoint

if TYPE_CHECKING:
    from spanward.native import GrpcCall, GrpcServer

_MAX_PENDING_BYTES: Final = 256 << 20  # of all requests that are read or unanswered
_MAX_CONNECTIONS: Final = 1024
_BODY_SECONDS: Final = 30.0


class NativeGrpcServer:
    """Listens for TraceService/Export.

    Attributes:
        port: the bound port; 0 while it is not bound.
    """

    def __init__(
        self,
        native: type[GrpcServer],
        config: GrpcConfig,
        service: TraceService,
        *,
        max_bytes: int,
        tenant_header: str,
    ) -> None:
        self._native = native
        self._config = config
        self._service = service
        self._max_bytes = max_bytes
        self._metadata = [tenant_header.lower()] if tenant_header else []
        self._server: GrpcServer | None = None
        self._tasks: dict[GrpcCall, asyncio.Task[None]] = {}
        self.port = 0

    async def start(self) -> None:
        """Bind.

        Raises:
            ConfigurationError: the endpoint is not host:port, or cannot be bound.
        """
        host, port = split_endpoint(self._config.endpoint, OPTION)
        keepalive = self._config.keepalive
        try:
            server = self._native(
                host,
                port,
                method=f"/{SERVICE}/{METHOD}",
                metadata=self._metadata,
                max_message_bytes=self._max_bytes,
                # a compressed request is in memory in both forms for a moment
                max_pending_bytes=max(_MAX_PENDING_BYTES, 3 * self._max_bytes),
                max_connections=_MAX_CONNECTIONS,
                max_concurrent_streams=self._config.max_concurrent_streams,
                keepalive_seconds=keepalive.time_seconds,
                keepalive_timeout_seconds=keepalive.timeout_seconds,
                max_idle_seconds=keepalive.max_idle_seconds,
                body_seconds=_BODY_SECONDS,
            )
        except OSError as error:
            raise cannot_listen(self._config.endpoint) from error
        asyncio.get_running_loop().add_reader(server.fileno(), self._take, server)
        self._server, self.port = server, server.port

    async def shutdown(self) -> None:
        """Refuse new calls, let those in flight finish, unbind. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        try:
            await asyncio.to_thread(server.stop, GRACE_SECONDS)
        finally:
            asyncio.get_running_loop().remove_reader(server.fileno())
            late = list(self._tasks.values())
            self._tasks.clear()
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _take(self, server: GrpcServer) -> None:
        loop = asyncio.get_running_loop()
        for call in server.take():
            self._tasks[call] = loop.create_task(self._serve(call))

    async def _serve(self, call: GrpcCall) -> None:
        tenant = call.metadata[0] if call.metadata else None
        try:
            response = await self._service.export(call.body, Encoding.PROTOBUF, tenant, TRANSPORT)
        except ExportError as error:
            call.abort(error.code, error.message, to_status(error).SerializeToString())
        else:
            call.answer(response.SerializeToString())
        finally:
            self._tasks.pop(call, None)
