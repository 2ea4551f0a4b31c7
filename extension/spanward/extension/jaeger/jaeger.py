"""The extension: a gRPC server that stock Jaeger reads from."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc.aio

from spanward.extension.jaeger.calls import Calls
from spanward.extension.jaeger.config import JaegerConfig
from spanward.extension.jaeger.service import DependencyReaderService, Encoding, TraceReaderService
from spanward.extension.jaeger.storage_pb2_grpc import (
    add_DependencyReaderServicer_to_server,
    add_TraceReaderServicer_to_server,
)
from spanward.sidecar.endpoint import split_endpoint
from spanward.store.errors import ConfigurationError
from spanward.store.query import TraceReader
from spanward.store.span_store import SpanStore

_GRACE_SECONDS: Final = 2.0
_OPTIONS: Final = (("grpc.so_reuseport", 0),)  # a second listener on the same port must fail, not share the calls


class JaegerExtension:
    """Serves Jaeger's storage API; it reads, and takes nothing in: what Jaeger writes goes to the OTLP receiver.

    Attributes:
        port: the bound port; 0 while it is not bound.
    """

    def __init__(self, config: JaegerConfig, store: SpanStore, logger: logging.Logger) -> None:
        self._config = config
        self._reader = TraceReader(store)
        self._logger = logger
        self._server: grpc.aio.Server | None = None
        self._workers: ThreadPoolExecutor | None = None
        self.port = 0

    async def start(self) -> None:
        """Bind.

        Raises:
            ConfigurationError: the endpoint is not host:port, or cannot be bound.
        """
        split_endpoint(self._config.endpoint, "endpoint")
        server = grpc.aio.server(options=_OPTIONS)
        try:
            port = server.add_insecure_port(self._config.endpoint)
        except RuntimeError as error:
            raise ConfigurationError(
                f"endpoint: cannot listen on {self._config.endpoint}; free the port or set another endpoint"
            ) from error
        self._workers = ThreadPoolExecutor(self._config.max_workers, thread_name_prefix="spanward-jaeger")
        self._add_services(server, self._workers)
        await server.start()
        self._server, self.port = server, port
        self._logger.info("Jaeger's storage API on port %d", port)

    async def shutdown(self) -> None:
        """Refuse new calls, give those in flight a moment, then end them. Idempotent."""
        server, workers = self._server, self._workers
        self._server = self._workers = None
        if server is not None:
            await server.stop(_GRACE_SECONDS)
        if workers is not None:  # no thread may still read when the store closes
            await asyncio.to_thread(workers.shutdown, wait=True, cancel_futures=True)

    def _add_services(self, server: grpc.aio.Server, workers: ThreadPoolExecutor) -> None:
        calls = Calls(workers, self._config.tenant_header, self._logger)
        encoding = Encoding(self._config.max_message_mib << 20, self._config.governance)
        add_TraceReaderServicer_to_server(TraceReaderService(self._reader, calls, encoding), server)
        add_DependencyReaderServicer_to_server(DependencyReaderService(self._reader, calls), server)
