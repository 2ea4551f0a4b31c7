"""The exporters behind a configured provider: stock OTLP, governed, or the lake."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace.export import SpanExporter

from spanward.processor.otel import GovernedSpanExporter
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.keys import HashKey
from spanward.sdk._guard import warn_once
from spanward.sdk._settings import Destination
from spanward.store.errors import ConfigurationError, StoreError


def governed_exporter(destination: Destination, policy: Policy, keys: Sequence[HashKey]) -> SpanExporter:
    """An exporter through which nothing ungoverned passes.

    Raises:
        ConfigurationError: the destination cannot be opened, or a package for it is missing.
    """
    if destination.lake is not None:
        lake: SpanExporter = lake_exporter(destination.lake, policy)
        return lake
    if not keys:
        warn_once("no hash keys", "no hash keys are given (SPANWARD_KEYRING): what would be hashed is masked")
    return GovernedSpanExporter(otlp_exporter(destination), Governor(policy, keys))


def lake_exporter(folder: Path, policy: Policy) -> Any:
    """The exporter that writes into a lake folder, under the folder's own keys.

    Raises:
        ConfigurationError: the folder cannot be opened, or Arrow is not installed.
    """
    try:
        module = importlib.import_module("spanward.exporter.lake.span_exporter")
    except ImportError as error:
        raise ConfigurationError(
            f"a lake folder needs more packages ({error}): pip install 'spanward[lake]'"
        ) from error
    try:
        return module.LakeSpanExporter(folder, policy=policy)
    except StoreError as error:
        raise ConfigurationError(f"lake {folder}: {error}") from error


def otlp_exporter(destination: Destination) -> SpanExporter:
    """The stock exporter of the destination's protocol; what is None stays with the `OTEL_*` variables it reads."""
    common = {"endpoint": destination.endpoint, "headers": destination.headers, "timeout": destination.timeout}
    given: dict[str, Any] = {name: value for name, value in common.items() if value is not None}
    try:
        return _http(destination, given) if destination.protocol == "http/protobuf" else _grpc(destination, given)
    except (ValueError, KeyError, OSError) as error:  # what the stock exporters raise for variables they cannot use
        raise ConfigurationError(f"the OTLP exporter refuses its settings: {error}") from error


def _grpc(destination: Destination, given: dict[str, Any]) -> SpanExporter:
    from grpc import Compression  # noqa: PLC0415 - grpc is slow to import, and HTTP does without it
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above

    if destination.compression is not None:
        given["compression"] = Compression.Gzip if destination.compression == "gzip" else Compression.NoCompression
    return OTLPSpanExporter(**given, insecure=destination.insecure)


def _http(destination: Destination, given: dict[str, Any]) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http import Compression  # noqa: PLC0415 - only for who exports over HTTP
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - as above

    if destination.compression is not None:
        given["compression"] = Compression.Gzip if destination.compression == "gzip" else Compression.NoCompression
    return OTLPSpanExporter(**given)
