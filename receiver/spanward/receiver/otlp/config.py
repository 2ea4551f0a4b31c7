"""What a user sets for the `otlp` receiver, in the Collector's own form."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

from pydantic import Field, model_validator

from spanward.sidecar.component import Config


class KeepaliveConfig(Config):
    """When a gRPC connection is checked and closed."""

    time_seconds: float = Field(default=7200, ge=1)
    """Quiet seconds after which the server pings a client."""

    timeout_seconds: float = Field(default=20, ge=1)
    """Seconds to wait for the answer before the connection is closed."""

    max_idle_seconds: float = Field(default=0, ge=0)
    """Seconds without a request after which a connection is closed; 0 keeps it."""


class GrpcEngine(StrEnum):
    """What speaks gRPC."""

    AUTO = "auto"
    NATIVE = "native"
    PYTHON = "python"


class GrpcConfig(Config):
    """OTLP over gRPC."""

    endpoint: str = "127.0.0.1:4317"
    """host:port to listen on; port 0 takes a free one. Loopback by default: there is no authentication."""

    max_concurrent_streams: int = Field(default=256, ge=1)
    """Requests in flight on one connection; a client that sends more waits."""

    keepalive: KeepaliveConfig = KeepaliveConfig()
    """When a connection is checked and closed."""

    engine: GrpcEngine = GrpcEngine.AUTO
    """What speaks gRPC: the server of spanward-native where that is installed, else grpcio; the others insist."""


class HttpConfig(Config):
    """OTLP over HTTP."""

    endpoint: str = "127.0.0.1:4318"
    """host:port to listen on; port 0 takes a free one. Loopback by default: there is no authentication."""

    max_concurrent_requests: int = Field(default=256, ge=1)
    """Requests whose bodies are read or stored at one time; others wait, unread."""

    keepalive_seconds: float = Field(default=75, gt=0)
    """Seconds after which a connection is closed that sent no (complete) request head."""

    read_timeout_seconds: float = Field(default=30, gt=0)
    """Seconds a client has to send its body, and to wait for its turn."""


class ProtocolsConfig(Config):
    """The protocols to listen for; `null` turns one off."""

    grpc: GrpcConfig | None = GrpcConfig()
    """OTLP over gRPC."""

    http: HttpConfig | None = HttpConfig()
    """OTLP over HTTP."""


class OtlpReceiverConfig(Config):
    """Where OTLP comes in, and how much of it at once."""

    protocols: ProtocolsConfig = ProtocolsConfig()
    """The protocols to listen for."""

    max_request_mib: int = Field(default=64, ge=1, le=1024)
    """Size of one request in MiB, as sent and again after decompression; a larger one is refused."""

    tenant_header: str = "x-tenant"
    """Header (or gRPC metadata key) that names the tenant; "" gives all spans to the tenant `default`."""

    @model_validator(mode="after")
    def _some_protocol(self) -> Self:
        if self.protocols.grpc is None and self.protocols.http is None:
            raise ValueError("protocols: grpc and http are both off; leave at least one on")
        return self

    @property
    def max_request_bytes(self) -> int:
        """The bound in bytes."""
        return self.max_request_mib << 20
