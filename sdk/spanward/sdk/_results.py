"""What a Pipeline answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from spanward.processor.policy.labels import Classification, Retention


@dataclass(frozen=True, slots=True)
class EventReference:
    """An event that was taken.

    Attributes:
        event_id: the caller's own id, or the span id.
        trace_id, span_id: lowercase hex; "" when tracing is off (OTEL_SDK_DISABLED).
    """

    event_id: str
    trace_id: str
    span_id: str

    @property
    def link(self) -> str:
        """`trace_id:span_id`: what `parents=` and `links=` take, as they take the reference itself."""
        return f"{self.trace_id}:{self.span_id}"


@dataclass(frozen=True, slots=True)
class OperationResult(EventReference):
    """An event with the policy's verdict.

    Attributes:
        accepted: False when the policy says that it must not be stored, or tracing is off.
        stored: True once the destination confirmed it: the lake has it on disk, or the endpoint took it.
        classification, retention: the labels in force; never weaker than those asked for.
        pii: types of personal data that were found, and handled.
        quality_score: 0..1, 1 when no rule was broken.
        violations: the rules that were broken.
    """

    accepted: bool = False
    stored: bool = False
    classification: Classification | None = None
    retention: Retention | None = None
    pii: tuple[str, ...] = ()
    quality_score: float = 1.0
    violations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PipelineStatus:
    """How a pipeline is doing.

    Attributes:
        state: "open" or "closed".
        destination: the lake folder or the endpoint.
        waiting: events taken and not settled; never above `queue_size`.
        accepted: events taken so far, of which `stored` are confirmed, `dropped` the policy withheld and `failed` the
            destination refused for good.
        batches: writes to the destination.
        pii: entity type -> events in which it was found.
        last_error: why the destination last refused; "" when it never did.
    """

    state: str
    destination: str
    waiting: int
    accepted: int
    stored: int
    dropped: int
    failed: int
    batches: int
    batch_size: int
    flush_interval_seconds: float
    pii: Mapping[str, int]
    last_error: str
