"""Batches of ReadableSpans through the policy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from opentelemetry.sdk.trace import ReadableSpan

from spanward.processor.otel.attributes import with_verdict
from spanward.processor.otel.convert import Converter
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.locks import ForkSafeLock
from spanward.processor.policy.span import SpanRecord

_LOGGER: Final = logging.getLogger(__name__)


class SpanGovernor:
    """Makes governed copies of spans. Safe to call from several threads; raises nothing.

    Attributes:
        governor: the policy.
        failed: spans that could not be copied or governed and were left out.
        dropped: spans that a rule says not to store.
    """

    def __init__(self, governor: Governor) -> None:
        self.governor = governor
        self.failed = 0
        self.dropped = 0
        self._converter = Converter()
        self._lock = ForkSafeLock()

    def copies(self, spans: Sequence[ReadableSpan]) -> list[ReadableSpan]:
        """Governed copies, in the same order; without the spans that are not to be stored and those that failed."""
        with self._lock:
            records = [self._to_record(span) for span in spans]
            self._govern([record for record in records if record is not None])
            pairs = [(span, record) for span, record in zip(spans, records, strict=True) if record is not None]
            return [copy for span, record in pairs if (copy := self._to_copy(span, record)) is not None]

    def _to_record(self, span: ReadableSpan) -> SpanRecord | None:
        try:
            return self._converter.to_record(span)
        except Exception as error:  # noqa: BLE001 - the host must not suffer, and the span must not go on as it is
            self._fail(error)
            return None

    def _govern(self, records: list[SpanRecord]) -> None:
        try:
            self.governor.govern(records)
        except Exception as error:  # noqa: BLE001 - records without a verdict are left out below
            self._fail(error, len(records))

    def _to_copy(self, span: ReadableSpan, record: SpanRecord) -> ReadableSpan | None:
        verdict = record.verdict
        if verdict is None:
            return None
        if verdict.dropped:
            self.dropped += 1
            return None
        try:
            record.attributes = with_verdict(record.attributes, verdict)
            return self._converter.to_readable(record, span)
        except Exception as error:  # noqa: BLE001 - as above
            self._fail(error)
            return None

    def _fail(self, error: Exception, spans: int = 1) -> None:
        if not self.failed:
            kind = type(error).__name__
            _LOGGER.error("a span could not be governed (%s) and is left out; later ones are only counted", kind)
        self.failed += spans
