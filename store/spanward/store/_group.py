"""A group commit: all requests that share one log record."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import pyarrow as pa

from spanward.store._intake_model import IntakeSettings, SubmitResult
from spanward.store.clock import Clock
from spanward.store.log import IntakeLog
from spanward.store.records import Answer, RequestEntry, SpansRecord, concatenate, encode


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """A decoded request on its way into the log.

    Attributes:
        tenant, rows, rejected, message: see RequestEntry.
        answer: what will be remembered of it.
        done: resolved when the request is acknowledged.
    """

    tenant: str
    rows: pa.RecordBatch
    answer: Answer
    done: asyncio.Future[SubmitResult]


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


def take_group(queue: deque[PendingRequest], settings: IntakeSettings) -> list[PendingRequest]:
    """Take requests off the queue's head until the next would exceed a bound; at least one if there is any."""
    group: list[PendingRequest] = []
    rows = size = 0
    while queue:
        head = queue[0]
        rows += head.rows.num_rows
        size += head.rows.get_total_buffer_size()  # `nbytes` looks at offsets: 25 times as dear
        if group and (rows > settings.max_record_rows or size > settings.max_record_bytes):
            break
        group.append(queue.popleft())
    return group


def write_group(group: list[PendingRequest], log: IntakeLog, clock: Clock) -> Written:
    """Make one record of the group and wait until it is on the disk. Runs in the writer's thread.

    Raises:
        RetryableError: the disk refused; nothing of the group counts.
        PermanentError: the record is too large.
    """
    batches = [request.rows for request in group if request.rows.num_rows]
    if not batches:
        return Written(0, None)
    rows = concatenate(batches)
    payload = encode(SpansRecord(rows, _entries(group)))
    begun = clock.monotonic()
    sequence = log.append(payload)
    return Written(sequence, rows, len(payload), clock.monotonic() - begun)


def _entries(group: list[PendingRequest]) -> list[RequestEntry]:
    entries: list[RequestEntry] = []
    first = 0
    for request in group:
        answer, count = request.answer, request.rows.num_rows
        entries.append(
            RequestEntry(
                request.tenant, answer.dedup_key, first, count, answer.received_at_ns, answer.rejected, answer.message
            )
        )
        first += count
    return entries
