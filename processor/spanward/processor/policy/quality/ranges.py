"""Rules about one value of a span: ranges, formats, order."""

from __future__ import annotations

import re

from spanward.processor.policy.quality.measures import EVENT_TYPE, duration_ms, number
from spanward.processor.policy.quality.rule import Severity
from spanward.processor.policy.span import SpanRecord


class InRange:
    """An attribute, where there is one, is a finite number from low to high."""

    def __init__(self, name: str, severity: Severity, attribute: str, low: float, high: float) -> None:
        self.name = name
        self.severity = severity
        self._attribute = attribute
        self._low = low
        self._high = high

    def broken_by(self, span: SpanRecord) -> bool:
        """True for a value outside of the range and for one that is no number."""
        value = span.attributes.get(self._attribute)
        if value is None:
            return False
        measured = number(value)
        return measured is None or not self._low <= measured <= self._high


class ProcessingTime(InRange):
    """The processing time, or the span's duration where none is given, is in the range."""

    def broken_by(self, span: SpanRecord) -> bool:
        """True for a time outside of the range and for one that is no number."""
        if self._attribute in span.attributes:
            return super().broken_by(span)
        duration = duration_ms(span)
        return duration is not None and not self._low <= duration <= self._high


class EventTypeFormat:
    """`spanward.event.type`, where there is one, is a text that matches a pattern as a whole."""

    name = "event_type_format"

    def __init__(self, severity: Severity, pattern: str) -> None:
        self.severity = severity
        self._pattern = re.compile(pattern)

    def broken_by(self, span: SpanRecord) -> bool:
        """True for a text of another form and for what is no text."""
        value = span.attributes.get(EVENT_TYPE)
        return value is not None and not (isinstance(value, str) and self._pattern.fullmatch(value))


class TimeOrder:
    """A span ends no earlier than it starts; one without an end is not judged."""

    name = "time_order"

    def __init__(self, severity: Severity) -> None:
        self.severity = severity

    def broken_by(self, span: SpanRecord) -> bool:
        """True when the end is before the start."""
        return 0 < span.end_unix_nano < span.start_unix_nano
