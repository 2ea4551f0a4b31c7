"""The span processors that a configured provider gets."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter

from spanward.processor.otel import GovernedSpanExporter, GovernedSpanProcessor
from spanward.processor.policy.locks import ForkSafeLock
from spanward.sdk._guard import warn_once
from spanward.sdk.context import NOBODY, current_session


class SessionSpanProcessor(SpanProcessor):
    """Puts the ids of the surrounding `session` on every span that starts, whoever starts it. Exports nothing."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the SDK's signature
        """Add what is known; what the instrumentation set itself stays."""
        session = current_session()
        if session is NOBODY:
            return
        present = span.attributes or {}
        span.set_attributes({key: value for key, value in session.attributes().items() if key not in present})

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """There is nothing to flush."""
        return True


class SpanwardSpanProcessor(SessionSpanProcessor):
    """The processor that `configure` adds to a provider: session ids at the start, a replaceable exporter at the end.

    A provider cannot give a processor back. So that configuring again (a notebook cell, run twice) exports each span
    once, the inner processor can be replaced.
    """

    def __init__(self, inner: SpanProcessor) -> None:
        self._inner: SpanProcessor | None = inner
        self._lock = ForkSafeLock()

    def on_end(self, span: ReadableSpan) -> None:
        """Hand the span to the batch; what leaves it is governed."""
        inner = self._inner
        if inner is not None:
            inner.on_end(span)

    def replace(self, inner: SpanProcessor | None) -> None:
        """Export through `inner` from now on, or not at all; what the one before still held is exported by it."""
        with self._lock:
            before, self._inner = self._inner, inner
        if before is not None:
            before.shutdown()

    def holds(self, inner: SpanProcessor) -> bool:
        """Whether `inner` is in place."""
        return self._inner is inner

    def shutdown(self) -> None:
        """Export what is left, and stop."""
        self.replace(None)

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Export what has ended by now."""
        inner = self._inner
        return True if inner is None else inner.force_flush(timeout_millis)


def processors_of(provider: TracerProvider) -> tuple[SpanProcessor, ...]:
    """What is registered with a provider; () when this version of the SDK does not tell."""
    active = getattr(provider, "_active_span_processor", None)
    return tuple(getattr(active, "_span_processors", ()))


def warn_of_raw_spans(provider: TracerProvider) -> None:
    """Say, once, that a processor beside ours exports spans that no policy has seen."""
    for processor in processors_of(provider):
        if not _is_safe(processor):
            kind = type(processor).__name__
            warn_once(f"raw {kind}", "%s is on the same tracer provider and exports spans before the policy", kind)


def _is_safe(processor: SpanProcessor) -> bool:
    if isinstance(processor, SessionSpanProcessor | GovernedSpanProcessor):
        return True
    if isinstance(processor, BatchSpanProcessor | SimpleSpanProcessor):
        return is_governed(exporter_of(processor))
    return False


def exporter_of(processor: SpanProcessor) -> SpanExporter | None:
    """What a stock processor exports through; None when this version of the SDK does not tell.

    Some versions (1.34 is one) keep it only in the part that the batch processors of spans and logs share.
    """
    exporter: SpanExporter | None = getattr(processor, "span_exporter", None)
    return exporter or getattr(getattr(processor, "_batch_processor", None), "_exporter", None)


def is_governed(exporter: SpanExporter | None) -> bool:
    """Whether an exporter governs what it is given."""
    return isinstance(exporter, GovernedSpanExporter) or getattr(exporter, "governs", False) is True
