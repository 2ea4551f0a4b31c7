"""The one method that is served over gRPC, whatever serves it."""

from __future__ import annotations

from typing import Final

from spanward.store.errors import ConfigurationError

SERVICE: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
METHOD: Final = "Export"
OPTION: Final = "protocols.grpc.endpoint"
TRANSPORT: Final = "grpc"
GRACE_SECONDS: Final = 5.0


def cannot_listen(endpoint: str) -> ConfigurationError:
    """The error for an endpoint that cannot be bound."""
    return ConfigurationError(f"{OPTION}: cannot listen on {endpoint}; free the port or set another endpoint")
