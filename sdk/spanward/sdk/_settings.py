"""The settings of `configure` and `Pipeline`: arguments win, then `SPANWARD_*` variables, then the default.

What the endpoint (`_endpoint.py`) and the batch processor read from `OTEL_*` variables is left to them: a setting that
is None here is theirs to find.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import SplitResult, urlsplit, urlunsplit

from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_ENDPOINT,
    OTEL_EXPORTER_OTLP_PROTOCOL,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_PROTOCOL,
)
from opentelemetry.sdk.resources import SERVICE_NAME, Resource

from spanward.processor.policy.config import Policy
from spanward.processor.policy.native import Engine
from spanward.sdk._options import mapping
from spanward.store.errors import ConfigurationError

Protocol: TypeAlias = Literal["grpc", "http/protobuf"]
Compression: TypeAlias = Literal["gzip", "none"]

_PROTOCOLS: Final[dict[str, Protocol]] = {"grpc": "grpc", "http/protobuf": "http/protobuf"}
_COMPRESSIONS: Final[dict[str, Compression]] = {"gzip": "gzip", "none": "none"}

SPANWARD_POLICY: Final = "SPANWARD_POLICY"
"""Path of a policy file, YAML or TOML."""
SPANWARD_ENGINE: Final = "SPANWARD_ENGINE"
"""What governs and encodes spans: `auto`, `kernel` or `python`."""
SPANWARD_LAKE: Final = "SPANWARD_LAKE"
"""Lake folder to write into, instead of an OTLP endpoint."""
SPANWARD_HASH_KEY_FILE: Final = "SPANWARD_HASH_KEY_FILE"
"""File with the hash keys alone."""
SPANWARD_KEYRING: Final = "SPANWARD_KEYRING"
"""Folder with a keyring.json, or that file."""

_HTTP_PORT: Final = 4318
_HTTP_PATH: Final = "/v1/traces"
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Destination:
    """Where governed spans go: a lake folder, or an OTLP endpoint when `lake` is None.

    Attributes:
        endpoint: complete for the protocol; None leaves it to the `OTEL_*` variables and the default.
        headers: sent with each request, keys in lower case; None leaves it to `OTEL_EXPORTER_OTLP_*HEADERS`.
        timeout: seconds for one export; None leaves it to `OTEL_EXPORTER_OTLP_*TIMEOUT`, default 10.
    """

    lake: Path | None = None
    endpoint: str | None = None
    protocol: Protocol = "grpc"
    headers: Mapping[str, str] | None = field(default=None, repr=False)  # they carry credentials
    compression: Compression | None = None
    timeout: float | None = None
    insecure: bool | None = None


def make_destination(
    endpoint: str | None = None,
    *,
    lake: str | os.PathLike[str] | None = None,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    compression: str | None = None,
    timeout: float | None = None,
    insecure: bool | None = None,
) -> Destination:
    """Check the settings that say where spans go.

    Raises:
        ConfigurationError: one is wrong, or two contradict each other.
    """
    if lake is not None and endpoint is not None:
        raise ConfigurationError("endpoint and lake are two destinations; give one of them")
    folder = lake if endpoint is not None else lake or os.environ.get(SPANWARD_LAKE)
    if folder:
        return Destination(lake=Path(folder).expanduser())
    if timeout is not None and not timeout > 0:
        raise ConfigurationError(f"timeout={timeout} is not a number of seconds above 0")
    way = _protocol(protocol, endpoint)
    return Destination(
        endpoint=None if endpoint is None else _complete(endpoint, way),
        protocol=way,
        headers=None if headers is None else _headers(headers),
        compression=to_compression(compression),
        timeout=timeout,
        insecure=insecure,
    )


def _headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {str(key).lower(): str(value) for key, value in mapping("headers", headers).items()}


def _protocol(protocol: str | None, endpoint: str | None) -> Protocol:
    """As given, else by variable, else by the endpoint's looks (port 4318 and /v1/traces are HTTP's), else gRPC."""
    variables = (OTEL_EXPORTER_OTLP_TRACES_PROTOCOL, OTEL_EXPORTER_OTLP_PROTOCOL)
    for word in (protocol, *(os.environ.get(variable) for variable in variables)):
        if word:
            if (choice := _PROTOCOLS.get(word.strip())) is not None:
                return choice
            raise ConfigurationError(f"protocol {word!r} is neither 'grpc' nor 'http/protobuf'")
    place = (
        endpoint or os.environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or os.environ.get(OTEL_EXPORTER_OTLP_ENDPOINT)
    )
    parts = split_url(place) if place else None
    if parts is not None and (_port(parts.netloc) == _HTTP_PORT or parts.path.rstrip("/").endswith(_HTTP_PATH)):
        return "http/protobuf"
    return "grpc"


def split_url(endpoint: str) -> SplitResult:
    """The parts of a URL, or of a `host:port` without a scheme.

    Raises:
        ConfigurationError: it is neither.
    """
    try:
        return urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    except ValueError as error:
        raise ConfigurationError(f"endpoint {endpoint!r} is no URL: {error}") from error


def _port(netloc: str) -> int | None:
    tail = netloc.rpartition(":")[2]
    return int(tail) if tail.isdecimal() else None


def _complete(endpoint: str, protocol: Protocol) -> str:
    """The endpoint as the exporter of that protocol wants it.

    Raises:
        ConfigurationError: it is no host and port, and no http(s) URL.
    """
    parts = split_url(endpoint.strip())
    host = parts.hostname
    if not host or any(map(str.isspace, host)) or parts.scheme not in {"", "http", "https"}:
        raise ConfigurationError(f"endpoint {endpoint!r} is neither 'host:port' nor an http(s) URL")
    if not parts.scheme and (protocol == "http/protobuf" or host in _LOOPBACK):
        parts = parts._replace(scheme="http")
    if protocol == "http/protobuf" and parts.path in {"", "/"}:
        parts = parts._replace(path=_HTTP_PATH)
    return urlunsplit(parts).removeprefix("//")


def to_compression(compression: str | None) -> Compression | None:
    """A compression by its name; None stays None.

    Raises:
        ConfigurationError: there is no such compression.
    """
    if compression is None:
        return None
    choice = _COMPRESSIONS.get(compression.strip().lower())
    if choice is None:
        raise ConfigurationError(f"compression {compression!r} is neither 'gzip' nor 'none'")
    return choice


def load_policy(policy: Policy | str | os.PathLike[str] | None) -> Policy:
    """The policy given, the one in the file given or in `SPANWARD_POLICY`, or the built-in one.

    Raises:
        ConfigurationError: the file cannot be read or is wrong.
    """
    if isinstance(policy, Policy):
        return policy
    path = policy or os.environ.get(SPANWARD_POLICY)
    return Policy.load(Path(path).expanduser()) if path else Policy.default()


def load_engine() -> Engine:
    """What `SPANWARD_ENGINE` asks for; `auto` by default.

    Raises:
        ConfigurationError: there is no such engine.
    """
    word = os.environ.get(SPANWARD_ENGINE) or Engine.AUTO
    try:
        return Engine(word)
    except ValueError:
        raise ConfigurationError(f"{SPANWARD_ENGINE}={word!r} is none of {', '.join(Engine)}") from None


def make_resource(service_name: str | None, attributes: Mapping[str, Any] | None) -> Resource:
    """What is given, and what OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME say of the rest."""
    own = dict(mapping("resource_attributes", attributes or {}))
    if service_name is not None:
        own[SERVICE_NAME] = service_name
    return Resource.create(own)
