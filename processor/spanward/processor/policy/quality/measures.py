"""The numbers a span carries about the operation it stands for."""

from __future__ import annotations

import math
from typing import Final

from spanward.processor.policy.span import SpanRecord

PROCESSING_TIME: Final = "spanward.processing_time_ms"
MEMORY: Final = "spanward.memory_mb"
CPU: Final = "spanward.cpu_percent"
QUALITY: Final = "spanward.quality.score"
EVENT_TYPE: Final = "spanward.event.type"

_NS_PER_MS: Final = 1e6


def number(value: object) -> float | None:
    """A finite number; None for everything else, true and false included."""
    if type(value) is float or type(value) is int:
        try:
            return value if math.isfinite(value) else None
        except OverflowError:
            return None
    return None


def duration_ms(span: SpanRecord) -> float | None:
    """How long the span took; None when it has not ended or ends before it starts."""
    end = span.end_unix_nano
    return (end - span.start_unix_nano) / _NS_PER_MS if end and end >= span.start_unix_nano else None


def service(span: SpanRecord) -> str:
    """The span's `service.name`, "" when it has none."""
    name = span.resource.attributes.get("service.name")
    return name if isinstance(name, str) else ""
