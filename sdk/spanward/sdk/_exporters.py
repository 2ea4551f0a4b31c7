"""The exporters behind a configured provider: OTLP or the lake, both governed."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace.export import SpanExporter

from spanward.processor.otel.encoder import SpanEncoder
from spanward.processor.policy.config import Policy
from spanward.processor.policy.keys import HashKey
from spanward.sdk._guard import warn_once
from spanward.sdk._otlp import OtlpSpanExporter, open_sender
from spanward.sdk._settings import Destination, load_engine
from spanward.store.errors import ConfigurationError, StoreError


def governed_exporter(destination: Destination, policy: Policy, keys: Sequence[HashKey]) -> SpanExporter:
    """An exporter through which nothing ungoverned passes.

    Raises:
        ConfigurationError: the destination cannot be opened, or a package or the kernel is missing.
    """
    if destination.lake is not None:
        lake: SpanExporter = lake_exporter(destination.lake, policy)
        return lake
    if not keys:
        warn_once("no hash keys", "no hash keys are given (SPANWARD_KEYRING): what would be hashed is masked")
    return OtlpSpanExporter(SpanEncoder(policy, keys, load_engine()), open_sender(destination))


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
