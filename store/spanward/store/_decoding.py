"""Decoding in threads, as many small requests at a time as are waiting.

A batch of rows costs some hundred microseconds, however few they are, and so does a hand-over to a thread. So requests
that arrive while a thread decodes pool up, and those that pooled become one batch. Another thread is set to work when
there is a batch worth its while, or when the first thread takes long. Where requests came together before, the first of
the next ones waits a moment for the others: clients that were answered together send again together.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, Protocol

import pyarrow as pa

from spanward.store._group import PendingGroup, PendingRequest
from spanward.store._intake_model import DecodedGroup, DecodeRequests, IntakeSettings, Outcome
from spanward.store.records import concatenate
from spanward.store.schema import SPANS

_PATIENCE_SECONDS: Final = 0.005
_MOMENT_SECONDS: Final = 0.001
_NONE: Final = pa.RecordBatch.from_arrays([pa.array([], field.type) for field in SPANS], schema=SPANS)
_log = logging.getLogger("spanward.store.intake")


class DecodedRows(Protocol):
    """One request after decoding and policy."""

    @property
    def rows(self) -> pa.RecordBatch:
        """The governed rows in the schema SPANS; none when all spans were refused or dropped."""
        ...

    @property
    def accepted(self) -> int:
        """Spans taken, stored or not."""
        ...

    @property
    def rejected(self) -> int:
        """Spans refused one by one."""
        ...

    @property
    def message(self) -> str:
        """Why, in one line; "" when none was."""
        ...


def grouped(decoded: Sequence[DecodedRows | Exception]) -> DecodedGroup:
    """The group of requests that were decoded one by one; rows of another schema cost their request only."""
    batches: list[pa.RecordBatch] = []
    outcomes: list[Outcome | Exception] = []
    for one in decoded:
        if isinstance(one, Exception):
            outcomes.append(one)
        elif not one.rows.schema.equals(SPANS):
            outcomes.append(TypeError("decode returned rows that have not the schema SPANS"))
        else:
            batches.append(one.rows)
            outcomes.append(Outcome(one.rows.num_rows, one.accepted, one.rejected, one.message))
    return DecodedGroup(concatenate(batches) if batches else _NONE, outcomes)


class DecodeQueue:
    """Requests that wait to be decoded. All methods belong to the event loop."""

    def __init__(
        self,
        decode: DecodeRequests,
        threads: ThreadPoolExecutor,
        decoded: Callable[[PendingGroup], None],
        *,
        settings: IntakeSettings,
    ) -> None:
        """Args: `decoded` is given the requests that have rows or an answer; the others are told their error here."""
        self._decode = decode
        self._threads = threads
        self._decoded = decoded
        self._settings = settings
        self._waiting: deque[PendingRequest] = deque()
        self._waiting_bytes = 0
        self._busy = 0
        self._crowded = False
        self._soon = False
        self._later: asyncio.TimerHandle | None = None

    def add(self, request: PendingRequest) -> None:
        """Decode a request, and others with it that arrive in the same turn of the loop."""
        self._waiting.append(request)
        self._waiting_bytes += len(request.request.body)
        if not self._is_worth_a_thread():
            self._be_patient()
        elif not self._soon:
            self._soon = True
            loop = asyncio.get_running_loop()
            if self._crowded and self._waiting_bytes < self._settings.decode_bytes:
                loop.call_later(_MOMENT_SECONDS, self._dispatch)
            else:
                loop.call_soon(self._dispatch)

    def _be_patient(self) -> None:
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, self._hurry)

    def _is_worth_a_thread(self) -> bool:
        return not self._busy or self._waiting_bytes >= self._settings.decode_bytes

    def _dispatch(self) -> None:
        self._soon = False
        while self._has_work() and self._is_worth_a_thread():
            self._start()
        if self._has_work():
            self._be_patient()

    def _hurry(self) -> None:
        self._later = None
        if self._has_work():
            self._start()

    def _has_work(self) -> bool:
        return bool(self._waiting) and self._busy < self._settings.decode_threads

    def _start(self) -> None:
        group = self._take()
        self._crowded = len(group) > 1
        self._busy += 1
        requests = [pending.request for pending in group]
        flight = asyncio.get_running_loop().run_in_executor(self._threads, self._decode, requests)
        flight.add_done_callback(partial(self._land, group))

    def _take(self) -> list[PendingRequest]:
        group = [self._waiting.popleft()]
        size = len(group[0].request.body)
        while self._waiting and (size := size + len(self._waiting[0].request.body)) <= self._settings.decode_bytes:
            group.append(self._waiting.popleft())
        self._waiting_bytes -= sum(len(pending.request.body) for pending in group)
        return group

    def _land(self, group: list[PendingRequest], flight: asyncio.Future[DecodedGroup]) -> None:
        self._busy -= 1
        self._dispatch()
        error = flight.exception()
        if error is not None:  # a bug: what is wrong with a request is its outcome
            _log.error("a group of %d requests could not be decoded", len(group), exc_info=error)
            for pending in group:
                pending.fail(RuntimeError("the request could not be decoded; the sidecar's log has the reason"))
            return
        decoded = flight.result()
        taken: list[PendingRequest] = []
        for pending, outcome in zip(group, decoded.outcomes, strict=True):
            if isinstance(outcome, Exception):
                pending.fail(outcome)
            else:
                pending.outcome = outcome
                taken.append(pending)
        if taken:
            self._decoded(PendingGroup(decoded.rows, taken, decoded.rows.get_total_buffer_size()))
