"""The exporter wrapper: what leaves the application has been through the policy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spanward.processor.otel.govern import SpanGovernor
from spanward.processor.policy.governor import Governor

_LOGGER: Final = logging.getLogger(__name__)


class GovernedSpanExporter(SpanExporter):
    """Governs spans and hands them to another exporter, which never sees a raw one.

    A span that cannot be governed is not exported; it is counted in `failed` and logged once. A span that a rule drops
    is not exported and counts in `dropped`. Nothing is raised into the host.

    Args:
        inner: exports what is left.
        governor: the policy.
    """

    def __init__(self, inner: SpanExporter, governor: Governor) -> None:
        self._inner = inner
        self._spans = SpanGovernor(governor)

    @property
    def failed(self) -> int:
        """Spans that could not be governed and were left out."""
        return self._spans.failed

    @property
    def dropped(self) -> int:
        """Spans that a rule says not to store."""
        return self._spans.dropped

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Govern and export; the inner exporter's result, or success when nothing is left to export."""
        governed = self._spans.copies(spans)
        if not governed:
            return SpanExportResult.SUCCESS
        try:
            return self._inner.export(governed)
        except Exception as error:  # noqa: BLE001 - an exporter must not raise; this one's inner did
            _LOGGER.error("%s raised %s; %d spans are lost", type(self._inner).__name__, error, len(governed))  # noqa: TRY400 - a line, no traceback
            return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Shut the inner exporter down."""
        try:
            self._inner.shutdown()
        except Exception as error:  # noqa: BLE001 - as in export
            _LOGGER.error("%s raised %s on shutdown", type(self._inner).__name__, error)  # noqa: TRY400 - as above

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the inner exporter; False when it could not within the time, in milliseconds."""
        try:
            return self._inner.force_flush(timeout_millis)
        except Exception as error:  # noqa: BLE001 - as in export
            _LOGGER.error("%s raised %s on flush", type(self._inner).__name__, error)  # noqa: TRY400 - as above
            return False
