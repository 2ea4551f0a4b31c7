"""The words that the intake and its callers share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

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


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent.

    Attributes:
        tenant: whose spans these are.
        body: the request, by which a repetition is recognised.
        form: how it is written; the intake hands it through to `DecodeRequests`.
        received_at_ns: Unix time.
    """

    tenant: str
    body: bytes
    form: object
    received_at_ns: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What decoding made of a request.

    Attributes:
        rows: how many of the rows of its group are its own.
        accepted: spans taken, stored or not.
        rejected: spans refused one by one.
        message: why, in one line; "" when none was.
    """

    rows: int
    accepted: int = 0
    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class DecodedGroup:
    """Requests after decoding and policy.

    Attributes:
        rows: the governed rows of all of them in the schema SPANS, in the order of the requests.
        outcomes: of each request: what it became, or the error that its sender is told.
    """

    rows: pa.RecordBatch
    outcomes: Sequence[Outcome | Exception]


DecodeRequests: TypeAlias = Callable[[Sequence[Request]], DecodedGroup]
"""Decodes requests of any tenants. Called in threads, of several at a time."""


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """The answer to a request.

    Attributes:
        rejected, message: OTLP's partial success.
        accepted: spans taken by this call; 0 for a repetition.
        repeated: True when the same body had been taken before and this is the answer it was given.
    """

    rejected: int = 0
    message: str = ""
    repeated: bool = False
    accepted: int = 0


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
        decode_threads: groups of requests decoded at the same time.
        decode_bytes: a group to decode is closed when one more request would exceed it.
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
    decode_bytes: int = 1 << 20
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
