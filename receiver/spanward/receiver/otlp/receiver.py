"""The receiver: its servers, with one life."""

from __future__ import annotations

import logging

from spanward.receiver.otlp.config import OtlpReceiverConfig
from spanward.receiver.otlp.grpc_server import make_grpc_server
from spanward.receiver.otlp.http_server import HttpServer
from spanward.receiver.otlp.service import TraceService


class OtlpReceiver:
    """Listens for OTLP on the protocols that are on."""

    def __init__(self, config: OtlpReceiverConfig, service: TraceService, logger: logging.Logger) -> None:
        self._logger = logger
        grpc, http = config.protocols.grpc, config.protocols.http
        size, tenant = config.max_request_bytes, config.tenant_header
        self._grpc = make_grpc_server(grpc, service, max_bytes=size, tenant_header=tenant) if grpc else None
        self._http = HttpServer(http, service, max_bytes=size, tenant_header=tenant) if http else None

    @property
    def grpc_port(self) -> int:
        """The bound gRPC port; 0 while it is off."""
        return self._grpc.port if self._grpc else 0

    @property
    def http_port(self) -> int:
        """The bound HTTP port; 0 while it is off."""
        return self._http.port if self._http else 0

    async def start(self) -> None:
        """Bind both; if one cannot be bound, neither is.

        Raises:
            ConfigurationError: an endpoint is wrong or in use.
        """
        try:
            for server in (self._grpc, self._http):
                if server is not None:
                    await server.start()
        except BaseException:
            await self.shutdown()
            raise
        for name, port in (("OTLP/gRPC", self.grpc_port), ("OTLP/HTTP", self.http_port)):
            if port:
                self._logger.info("%s on port %d", name, port)

    async def shutdown(self) -> None:
        """Refuse what is new, answer what is in flight, unbind. Idempotent."""
        for server in (self._http, self._grpc):
            if server is not None:
                await server.shutdown()
