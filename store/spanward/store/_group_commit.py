"""The group committer: the one task that writes to the log and hands on what is written."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from spanward.store._delivery import Delivery
from spanward.store._group import PendingRequest, Written, take_group, write_group
from spanward.store._intake_model import IntakeSettings, IntakeStats, SubmitResult
from spanward.store.batch import Batch, Signal
from spanward.store.clock import Clock
from spanward.store.dedup import DedupWindow
from spanward.store.errors import PermanentError, RetryableError
from spanward.store.log import IntakeLog

_log = logging.getLogger("spanward.store.intake")
_TELL_SECONDS: Final = 10.0


class GroupCommitter:
    """Takes decoded requests, all that are there at a time, through the log to the consumers and their answers."""

    def __init__(
        self,
        log: IntakeLog,
        window: DedupWindow,
        delivery: Delivery,
        writer: ThreadPoolExecutor,
        *,
        clock: Clock,
        settings: IntakeSettings,
        stats: IntakeStats,
    ) -> None:
        """Args: `writer` has one thread, in which records are encoded, written and synced."""
        self._log = log
        self._window = window
        self._delivery = delivery
        self._writer = writer
        self._clock = clock
        self._settings = settings
        self._stats = stats
        self._queue: deque[PendingRequest] = deque()
        self._wake = asyncio.Event()
        self._ending = False
        self._told: float | None = None
        self._untold = 0

    def add(self, request: PendingRequest) -> None:
        """Put a request into the next group; its `done` tells the outcome."""
        self._queue.append(request)
        self._wake.set()

    def end(self) -> None:
        """Let `run` return once the queue is empty."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Commit groups until `end`. No request is left without an outcome."""
        while True:
            if group := take_group(self._queue, self._settings):
                await self._commit(group)
            elif self._ending:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _commit(self, group: list[PendingRequest]) -> None:
        try:
            written = await self._write(group)
            self._remember(group, written)
            if written.rows is not None:
                await self._delivery.offer(Batch(Signal.TRACES, written.rows, written.sequence))
        except RetryableError as error:
            self._tell(error)
            self._stats.refuse("disk", len(group))
            message, wait = str(error), error.retry_after or self._settings.retry_after_seconds
            _fail(group, lambda: RetryableError(message, retry_after=wait))
        except PermanentError as error:
            message = str(error)
            _fail(group, lambda: PermanentError(message))
        except Exception:  # noqa: BLE001 - a bug must leave no client without an answer, and the next group a committer
            _log.exception("a group of %d requests could not be logged", len(group))
            _fail(group, lambda: RuntimeError("the request could not be logged; the sidecar's log has the reason"))
        else:
            # answered after the first attempt, taken or not: what a consumer takes later, the log keeps until then
            _answer(group)
            await self._delivery.settle()

    def _tell(self, error: RetryableError) -> None:
        """Say that the disk refuses, now and then: a full one does so many times a second."""
        self._untold += 1
        now = self._clock.monotonic()
        if self._told is None or now - self._told >= _TELL_SECONDS:
            _log.warning("%s (%d groups of requests refused since this was last said)", error, self._untold)
            self._told, self._untold = now, 0

    async def _write(self, group: list[PendingRequest]) -> Written:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, write_group, group, self._log, self._clock)

    def _remember(self, group: list[PendingRequest], written: Written) -> None:
        self._window.add((request.answer for request in group), written.sequence)
        self._stats.requests += len(group)
        if written.rows is not None:
            self._stats.records += 1
            self._stats.rows += written.rows.num_rows
            self._stats.bytes += written.payload_bytes
            self._stats.sync_seconds += written.seconds


def _answer(group: Sequence[PendingRequest]) -> None:
    for request in group:
        if not request.done.done():
            request.done.set_result(SubmitResult(request.answer.rejected, request.answer.message))


def _fail(group: Sequence[PendingRequest], error: Callable[[], Exception]) -> None:
    for request in group:
        if not request.done.done():
            request.done.set_exception(error())  # one each: an exception collects the tracebacks of all who raise it
