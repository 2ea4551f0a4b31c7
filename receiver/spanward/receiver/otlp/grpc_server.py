"""OTLP over gRPC, on raw bytes: the pipeline parses them once, in its own way.

Two servers do the same: one of spanward-native, and one on grpcio, which costs several times the CPU for each call and
runs anywhere.
"""

from __future__ import annotations

import logging
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol

from spanward.receiver.otlp.config import GrpcConfig, GrpcEngine
from spanward.receiver.otlp.grpc_native import NativeGrpcServer
from spanward.receiver.otlp.grpc_python import PythonGrpcServer
from spanward.receiver.otlp.service import TraceService
from spanward.store.errors import ConfigurationError

if TYPE_CHECKING:
    from spanward.native import GrpcServer as Native

_MODULE: Final = "spanward.native"
_MISSING: Final = (
    "spanward-native is not installed, or too old "
    "(pip install spanward-native, or pip install ./native from a checkout with Rust)"
)


class GrpcServer(Protocol):
    """Listens for TraceService/Export."""

    port: int
    """The bound port; 0 while it is not bound."""

    async def start(self) -> None:
        """Bind.

        Raises:
            ConfigurationError: the endpoint is not host:port, or cannot be bound.
        """
        ...

    async def shutdown(self) -> None:
        """Refuse new calls, let those in flight finish, unbind. Idempotent."""
        ...


def make_grpc_server(config: GrpcConfig, service: TraceService, *, max_bytes: int, tenant_header: str) -> GrpcServer:
    """The server for a configuration.

    Raises:
        ConfigurationError: the engine is NATIVE, and that is not installed.
    """
    native = _native(config.engine, service.logger)
    if native is None:
        return PythonGrpcServer(config, service, max_bytes=max_bytes, tenant_header=tenant_header)
    return NativeGrpcServer(native, config, service, max_bytes=max_bytes, tenant_header=tenant_header)


def _native(engine: GrpcEngine, logger: logging.Logger) -> type[Native] | None:
    if engine is GrpcEngine.PYTHON:
        return None
    try:
        native: type[Native] = import_module(_MODULE).GrpcServer
    except (ImportError, AttributeError) as error:
        if engine is GrpcEngine.NATIVE:
            raise ConfigurationError(
                f"protocols.grpc.engine is 'native', but {_MISSING}; mend that, or set it to 'auto'"
            ) from error
        logger.info("OTLP/gRPC is served by grpcio, slower: %s", _MISSING)
        return None
    return native
