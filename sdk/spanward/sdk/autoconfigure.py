"""Governed tracing without a line of code: what `opentelemetry-instrument` finds through entry points.

    OTEL_PYTHON_CONFIGURATOR=spanward opentelemetry-instrument python app.py

Asked for by name, in OTEL_PYTHON_CONFIGURATOR or OTEL_TRACES_EXPORTER, the configurator sets up the SDK as ever and
makes its OTLP traces exporter the governed one. Not asked for, it steps aside: being installed changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.environment_variables import OTEL_TRACES_EXPORTER
from opentelemetry.sdk._configuration import (
    _BaseConfigurator,  # pyright: ignore[reportPrivateUsage] - the SDK's own extension point has no other name
    _OTelSDKConfigurator,  # pyright: ignore[reportPrivateUsage] - as above
)
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spanward.sdk._exporters import governed_exporter
from spanward.sdk._guard import logger
from spanward.sdk._keys import load_hash_keys
from spanward.sdk._processor import SessionSpanProcessor, warn_of_raw_spans
from spanward.sdk._settings import load_policy, make_destination
from spanward.store.errors import ConfigurationError

NAME: Final = "spanward"
"""Of both entry points."""
OTEL_PYTHON_CONFIGURATOR: Final = "OTEL_PYTHON_CONFIGURATOR"
_GROUP: Final = "opentelemetry_configurator"
_STOCK_OTLP: Final = frozenset({"otlp", "otlp_proto_grpc", "otlp_proto_http"})


class SpanwardSpanExporter(SpanExporter):
    """Entry point `opentelemetry_traces_exporter: spanward`: the OTLP exporter, behind the policy.

    Protocol, endpoint, headers and all the rest come from the `OTEL_EXPORTER_OTLP_*` variables; the policy from
    SPANWARD_POLICY, hash keys from SPANWARD_HASH_KEY_FILE or SPANWARD_KEYRING. With SPANWARD_LAKE it writes into that
    folder instead.

    Raises:
        ConfigurationError: one of these variables is wrong.
    """

    governs: Final = True

    def __init__(self) -> None:
        self._inner = governed_exporter(make_destination(), load_policy(None), load_hash_keys())

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Govern the spans and export them."""
        return self._inner.export(spans)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what is held back."""
        return self._inner.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Stop."""
        self._inner.shutdown()


class SpanwardConfigurator(_BaseConfigurator):
    """Entry point `opentelemetry_configurator: spanward`."""

    def _configure(self, **kwargs: Any) -> None:
        if not is_asked_for():
            _next_configurator().configure(**kwargs)  # type: ignore[no-untyped-call]  # the SDK declares no types here
            return
        os.environ[OTEL_TRACES_EXPORTER] = ",".join(governed_names(os.environ.get(OTEL_TRACES_EXPORTER, "")))
        try:
            _OTelSDKConfigurator().configure(**kwargs)  # type: ignore[no-untyped-call]  # as above
        except ConfigurationError as error:  # the loader would show it as a stack trace, twice
            logger.error("OpenTelemetry is not set up, and no span is exported: %s", error)
            return
        provider = trace.get_tracer_provider()
        if isinstance(provider, TracerProvider):
            provider.add_span_processor(SessionSpanProcessor())
            warn_of_raw_spans(provider)


def is_asked_for() -> bool:
    """Whether the environment names this configurator or its exporter."""
    exporters = os.environ.get(OTEL_TRACES_EXPORTER, "").split(",")
    return os.environ.get(OTEL_PYTHON_CONFIGURATOR) == NAME or NAME in {word.strip() for word in exporters}


def governed_names(exporters: str) -> list[str]:
    """OTEL_TRACES_EXPORTER with the governed exporter in the place of the stock OTLP ones, each name once.

    None named means the governed one; `none` stays none.
    """
    words = [word.strip() for word in exporters.split(",") if word.strip()] or [NAME]
    return list(dict.fromkeys(NAME if word in _STOCK_OTLP else word for word in words))


def _next_configurator() -> _BaseConfigurator:
    """Who would have configured, were this package not installed: the next entry point, or the SDK itself.

    OpenTelemetry takes the first configurator that it finds and ignores the rest.
    """
    wanted = os.environ.get(OTEL_PYTHON_CONFIGURATOR)
    for entry_point in entry_points(group=_GROUP):
        if entry_point.name != NAME and wanted in {None, entry_point.name}:
            try:
                configurator: _BaseConfigurator = entry_point.load()()
            except Exception:  # noqa: BLE001 - a broken package of somebody else must not end the start
                logger.exception("the configurator %s cannot be loaded", entry_point.name)
                continue
            return configurator
    return _OTelSDKConfigurator()  # type: ignore[no-untyped-call]  # as above
