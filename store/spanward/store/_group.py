"""A group commit: all requests that share one log record."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from spanward.store._intake_model import IntakeSettings, Outcome, Request, SubmitResult
from spanward.store.clock import Clock
from spanward.store.log import IntakeLog
from spanward.store.records import Answer, RequestEntry, SpansRecord, concatenate, encode


@dataclass(slots=True)
class PendingRequest:
    """A request on its way into the log.

    Attributes:
        request: what was sent.
        dedup_key: its digest; "" when repetitions are not recognised.
        done: resolved when the request is acknowledged.
        outcome: what decoding made of it, once it has.
    """

    request: Request
    dedup_key: str
    done: asyncio.Future[SubmitResult]
    outcome: Outcome = field(default=Outcome(0))

    @property
    def answer(self) -> Answer:
        """What will be remembered of it."""
        return Answer(
            self.dedup_key, self.request.received_at_ns, rejected=self.outcome.rejected, message=self.outcome.message
        )

    def succeed(self) -> None:
        """Acknowledge."""
        if not self.done.done():
            outcome = self.outcome
            self.done.set_result(SubmitResult(outcome.rejected, outcome.message, accepted=outcome.accepted))

    def fail(self, error: Exception) -> None:
        """Tell the client an error."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(frozen=True, slots=True)
class PendingGroup:
    """Requests that were decoded together.

    Attributes:
        rows: of all of them, in their order.
        requests: at least one.
        bytes: of the rows.
    """

    rows: pa.RecordBatch
    requests: Sequence[PendingRequest]
    bytes: int

    def split(self) -> Iterator[PendingGroup]:
        """Each request on its own."""
        first = 0
        for request in self.requests:
            rows = self.rows.slice(first, request.outcome.rows)
            first += request.outcome.rows
            yield PendingGroup(rows, [request], rows.nbytes)


@dataclass(frozen=True, slots=True)
class Written:
    """A group that is durable.

    Attributes:
        sequence: of its record; 0 when the group had no rows and needed none.
        rows: all of them, as logged.
        payload_bytes: size of the record.
        seconds: that writing and syncing took.
    """

    sequence: int
    rows: pa.RecordBatch | None
    payload_bytes: int = 0
    seconds: float = 0.0


def take_groups(queue: deque[PendingGroup], settings: IntakeSettings) -> list[PendingGroup]:
    """Take what fits into one record off the queue's head; at least one request if there is any."""
    taken: list[PendingGroup] = []
    rows = size = 0
    while queue:
        head = queue[0]
        rows += head.rows.num_rows
        size += head.bytes
        if rows > settings.max_record_rows or size > settings.max_record_bytes:
            if taken:
                break
            if len(head.requests) > 1:
                queue.popleft()
                queue.extendleft(reversed(list(head.split())))
                rows = size = 0
                continue
        taken.append(queue.popleft())
    return taken


def write_groups(groups: Sequence[PendingGroup], log: IntakeLog, clock: Clock) -> Written:
    """Make one record of the groups and wait until it is on the disk. Runs in the writer's thread.

    Raises:
        RetryableError: the disk refused; nothing of the groups counts.
        PermanentError: the record is too large.
    """
    batches = [group.rows for group in groups if group.rows.num_rows]
    if not batches:
        return Written(0, None)
    rows = concatenate(batches)
    payload = encode(SpansRecord(rows, _entries(groups)))
    begun = clock.monotonic()
    sequence = log.append(payload)
    return Written(sequence, rows, len(payload), clock.monotonic() - begun)


def _entries(groups: Sequence[PendingGroup]) -> list[RequestEntry]:
    entries: list[RequestEntry] = []
    first = 0
    for pending in (pending for group in groups for pending in group.requests):
        request, outcome = pending.request, pending.outcome
        entries.append(
            RequestEntry(
                request.tenant,
                pending.dedup_key,
                first,
                outcome.rows,
                request.received_at_ns,
                outcome.rejected,
                outcome.message,
            )
        )
        first += outcome.rows
    return entries
