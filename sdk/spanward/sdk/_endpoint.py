"""An OTLP endpoint as the exporter needs it: what was given, then `OTEL_EXPORTER_OTLP_*` variables, then defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from opentelemetry.util.re import parse_env_headers

from spanward.sdk._settings import Compression, Destination, split_url, to_compression
from spanward.store.errors import ConfigurationError

_GRPC: Final = "http://localhost:4317"
_HTTP: Final = "http://localhost:4318"
_HTTP_PATH: Final = "v1/traces"
_TIMEOUT: Final = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go, and how.

    Attributes:
        address: a URL for HTTP; for gRPC what a channel is opened with, such as `host:port`.
        insecure: without TLS.
        headers: sent with each request, keys in lower case.
        compression: of each request.
        timeout: seconds for one export, its retries included.
        certificate: file with the certificates that the endpoint's is checked with; None for the system's.
        client_key, client_certificate: files with what the endpoint knows this client by.
    """

    address: str
    insecure: bool
    headers: Mapping[str, str] = field(repr=False)  # they carry credentials
    compression: Compression
    timeout: float
    certificate: Path | None = None
    client_key: Path | None = None
    client_certificate: Path | None = None


def read_endpoint(destination: Destination) -> Endpoint:
    """The endpoint of a destination; each variable of the traces before the general one.

    Raises:
        ConfigurationError: a variable is wrong, or a file that one names is not there.
    """
    is_grpc = destination.protocol == "grpc"
    url = destination.endpoint or (_grpc_url() if is_grpc else _http_url())
    parts = split_url(url if "://" in url else "")  # what has no scheme may be any of gRPC's own names
    insecure = _insecure(destination.insecure, parts.scheme) if is_grpc else parts.scheme != "https"
    certificate, client_key, client_certificate = (
        None if insecure else _file(name) for name in ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
    )
    return Endpoint(
        address=(parts.netloc or url) if is_grpc else url,
        insecure=insecure,
        headers=_headers() if destination.headers is None else destination.headers,
        compression=destination.compression or to_compression(_variable("COMPRESSION")[1] or None) or "none",
        timeout=_timeout() if destination.timeout is None else destination.timeout,
        certificate=certificate,
        client_key=client_key,
        client_certificate=client_certificate,
    )


def _variable(name: str) -> tuple[str, str]:
    """The name of the variable that is in force, and its value, "" when there is none."""
    for prefix in ("OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"):
        if value := os.environ.get(prefix + name, "").strip():
            return prefix + name, value
    return "", ""


def _grpc_url() -> str:
    return _variable("ENDPOINT")[1] or _GRPC


def _http_url() -> str:
    """The traces variable as it is; the general one is a base, to which the path is added."""
    name, value = _variable("ENDPOINT")
    if name == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
        return value
    return f"{(value or _HTTP).rstrip('/')}/{_HTTP_PATH}"


def _insecure(given: bool | None, scheme: str) -> bool:
    """An https URL is never without TLS; what is given or said by variable decides then, then an http URL."""
    if scheme == "https":
        return False
    if given is not None:
        return given
    said = _variable("INSECURE")[1]
    return said.lower() == "true" if said else scheme == "http"


def _headers() -> Mapping[str, str]:
    return parse_env_headers(_variable("HEADERS")[1], liberal=True)


def _timeout() -> float:
    name, value = _variable("TIMEOUT")
    try:
        seconds = float(value or _TIMEOUT)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"{name}={value!r} is not a number of seconds above 0")
    return seconds


def _file(name: str) -> Path | None:
    variable, value = _variable(name)
    if not value:
        return None
    path = Path(value).expanduser()
    if not path.is_file():
        raise ConfigurationError(f"{variable}={value!r} is no file")
    return path
