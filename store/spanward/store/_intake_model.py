"""The words that the intake and its callers share."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from spanward.store.batch import Batch

_MIB = 1 << 20


class BatchConsumer(Protocol):
    """Takes what was logged, in the order of the log."""

    async def consume(self, batch: Batch) -> None:
        """Take the batch, or raise. Quick: the clients' answers wait for the first attempt."""
        ...

    def committed(self) -> int:
        """The highest sequence up to which this consumer will never need the log again. Called from any thread."""
        ...


class DecodedRows(Protocol):
    """A request after decoding and policy."""

    @property
    def rows(self) -> pa.RecordBatch:
        """The governed rows in the schema SPANS; none when all spans were refused or dropped."""
        ...

    @property
    def rejected(self) -> int:
        """Spans refused one by one."""
        ...

    @property
    def message(self) -> str:
        """Why, in one line; "" when none was."""
        ...


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """The answer to a request.

    Attributes:
        rejected, message: OTLP's partial success.
        repeated: True when the same body had been taken before and this is the answer it was given.
    """

    rejected: int = 0
    message: str = ""
    repeated: bool = False


@dataclass(frozen=True, slots=True)
class IntakeSettings:
    """What a developer may set.

    Attributes:
        dedup_window_seconds: how long a repeated body is recognised; 0 recognises none.
        dedup_max_entries: answers kept at most; the oldest are forgotten early.
        max_pending_bytes: request bytes that may be under way; more are refused. A single request that is larger is
            taken when nothing else is under way.
        max_log_bytes: new requests are refused while the log is larger.
        max_record_rows, max_record_bytes: a group is closed when one more request would exceed either; a request that
            does so alone gets a record of its own.
        decode_threads: requests decoded at the same time.
        retry_after_seconds: what a refused client is told to wait.
        retry_first_seconds, retry_longest_seconds: pauses before a consumer is tried again, doubling from the first to
            the longest, unless it names its own.
    """

    dedup_window_seconds: float = 600.0
    dedup_max_entries: int = 200_000
    max_pending_bytes: int = 256 * _MIB
    max_log_bytes: int = 4096 * _MIB
    max_record_rows: int = 100_000
    max_record_bytes: int = 64 * _MIB
    decode_threads: int = field(default_factory=lambda: min(8, max(2, os.cpu_count() or 2)))
    retry_after_seconds: float = 1.0
    retry_first_seconds: float = 0.05
    retry_longest_seconds: float = 5.0


@dataclass(slots=True)
class IntakeStats:
    """Counters since the start, for whoever exposes metrics.

    Attributes:
        requests: acknowledged, repetitions not counted.
        repeated: answered as a repetition.
        rows: logged.
        records, bytes: log records of spans, and their payload bytes.
        sync_seconds: time spent in writing and syncing them.
        refused: requests refused, by reason ("pending", "log", "closing", "disk").
        retries: attempts to hand a batch to a consumer that it asked to repeat later.
        suspended: by the name of a consumer that gets no batches any more, why.
    """

    requests: int = 0
    repeated: int = 0
    rows: int = 0
    records: int = 0
    bytes: int = 0
    sync_seconds: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    retries: int = 0
    suspended: dict[str, str] = field(default_factory=dict)

    def refuse(self, reason: str, requests: int = 1) -> None:
        """Count refused requests."""
        self.refused[reason] = self.refused.get(reason, 0) + requests
