"""The processor wrapper: what the wrapped processor sees at a span's end has been through the policy."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from spanward.processor.otel.govern import SpanGovernor
from spanward.processor.policy.governor import Governor

_LOGGER: Final = logging.getLogger(__name__)


class GovernedSpanProcessor(SpanProcessor):
    """Hands on a governed copy of each ended span to another processor.

    The policy runs in the thread that ends the span, some tens of microseconds; where the inner processor is the stock
    batch processor, wrap its exporter in `GovernedSpanExporter` instead and that thread is spared. `on_start` passes
    the live span, which the inner processor must be able to write to; do not wrap one that exports from there.

    Nothing is raised into the host; a span that cannot be governed is not handed on.

    Args:
        inner: gets the copies.
        governor: the policy.
    """

    def __init__(self, inner: SpanProcessor, governor: Governor) -> None:
        self._inner = inner
        self._spans = SpanGovernor(governor)

    @property
    def failed(self) -> int:
        """Spans that could not be governed and were not handed on."""
        return self._spans.failed

    @property
    def dropped(self) -> int:
        """Spans that a rule says not to store."""
        return self._spans.dropped

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass the live span on."""
        _guarded(self._inner.on_start, span, parent_context)

    def _on_ending(self, span: Span) -> None:
        ending: Callable[[Span], None] | None = getattr(self._inner, "_on_ending", None)  # not in every SDK version
        if ending is not None:
            _guarded(ending, span)

    def on_end(self, span: ReadableSpan) -> None:
        """Govern a copy and pass it on."""
        for copy in self._spans.copies([span]):
            _guarded(self._inner.on_end, copy)

    def shutdown(self) -> None:
        """Shut the inner processor down."""
        _guarded(self._inner.shutdown)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the inner processor; False when it could not within the time, in milliseconds."""
        return _guarded(self._inner.force_flush, timeout_millis) is not False


def _guarded(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except Exception as error:  # noqa: BLE001 - instrumentation never raises into its host
        _LOGGER.error("%s raised %s", getattr(call, "__qualname__", call), error)  # noqa: TRY400 - a line, no traceback
        return False
