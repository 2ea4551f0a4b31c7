"""What a user sets for the `otlp` exporter."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from spanward.sidecar.component import SECRET, Config

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Transport(StrEnum):
    """How OTLP travels; the words are those of OTEL_EXPORTER_OTLP_PROTOCOL."""

    GRPC = "grpc"
    HTTP_PROTOBUF = "http/protobuf"


class Compression(StrEnum):
    """How a request is compressed."""

    GZIP = "gzip"
    NONE = "none"


class TlsConfig(Config):
    """How the connection is secured."""

    insecure: bool = False
    """Speak gRPC without TLS. Over HTTP the endpoint's scheme decides, and this stays false."""

    ca_file: Path | None = None
    """PEM file of the authorities to trust; without it, the system's."""

    cert_file: Path | None = None
    """PEM file of the client's certificate; needs `key_file`."""

    key_file: Path | None = None
    """PEM file of the client's private key; needs `cert_file`."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("tls: cert_file and key_file go together; set both or neither")
        return self


class RetryConfig(Config):
    """How long to wait before a request is sent again; it is sent until it is taken or refused for good."""

    initial_seconds: float = Field(default=1, gt=0)
    """Wait after the first failure; doubled after each further one, and varied by up to a half."""

    max_seconds: float = Field(default=30, gt=0)
    """Longest such wait."""

    max_asked_seconds: float = Field(default=300, gt=0)
    """Longest wait that a server may ask for with Retry-After or RetryInfo."""


class OtlpExporterConfig(Config):
    """Where governed spans go."""

    endpoint: str
    """host:port (gRPC) or http(s)://host:port[/path] (HTTP; `/v1/traces` is added unless it ends so)."""

    protocol: Transport = Transport.GRPC
    """`grpc` or `http/protobuf`."""

    headers: dict[str, str] = Field(default_factory=dict, json_schema_extra=SECRET)
    """Sent with each request, such as an API key; write secrets as `${env:NAME}`."""

    tenant_header: str = "x-tenant"
    """Header that names the tenant of a request's spans; "" sends none, and mixes the tenants."""

    governance: bool = True
    """Send labels and findings along, as `spanward.*` attributes."""

    compression: Compression = Compression.GZIP
    """`gzip` or `none`."""

    tls: TlsConfig = TlsConfig()
    """How the connection is secured."""

    timeout_seconds: float = Field(default=10, gt=0)
    """Longest wait for the answer to one request."""

    max_request_kib: int = Field(default=3584, ge=16)
    """Size of one request before compression, in KiB; gRPC servers commonly refuse 4 MiB."""

    retry: RetryConfig = RetryConfig()
    """When a request is sent again."""

    shutdown_timeout_seconds: float = Field(default=5, ge=0)
    """How long a request in flight may take at shutdown; what is not sent is sent after the next start."""

    @field_validator("headers")
    @classmethod
    def _header_names(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not _HEADER_NAME.fullmatch(name) or not value.isprintable():
                raise ValueError(f"headers: {name!r} is not a header name, or its value holds control characters")
        return headers

    @model_validator(mode="after")
    def _endpoint_fits(self) -> Self:
        parts = urlsplit(self.endpoint if "://" in self.endpoint else f"//{self.endpoint}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        schemes = {"http", "https"} if self.protocol is Transport.HTTP_PROTOBUF else {"", "http", "https"}
        if parts.scheme not in schemes or not parts.hostname or port == -1:
            form = "http://host:4318" if self.protocol is Transport.HTTP_PROTOBUF else "host:4317"
            raise ValueError(f"endpoint: {self.endpoint!r} is not of the form {form}")
        return self
