"""The group committer: the one task that writes to the log and hands on what is written."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from spanward.store._delivery import Delivery
from spanward.store._group import PendingGroup, PendingRequest, Written, take_groups, write_groups
from spanward.store._intake_model import IntakeSettings, IntakeStats
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
        self._queue: deque[PendingGroup] = deque()
        self._wake = asyncio.Event()
        self._ending = False
        self._told: float | None = None
        self._untold = 0

    def add(self, group: PendingGroup) -> None:
        """Put decoded requests into the next record; they are told the outcome."""
        self._queue.append(group)
        self._wake.set()

    def end(self) -> None:
        """Let `run` return once the queue is empty."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Commit groups until `end`. No request is left without an outcome."""
        while True:
            if groups := take_groups(self._queue, self._settings):
                await self._commit(groups)
            elif self._ending:
                return
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _commit(self, groups: list[PendingGroup]) -> None:
        requests = [request for group in groups for request in group.requests]
        try:
            written = await self._write(groups)
            self._remember(requests, written)
            if written.rows is not None:
                await self._delivery.offer(Batch(Signal.TRACES, written.rows, written.sequence))
        except RetryableError as error:
            self._tell(error)
            self._stats.refuse("disk", len(requests))
            message, wait = str(error), error.retry_after or self._settings.retry_after_seconds
            _fail(requests, lambda: RetryableError(message, retry_after=wait))
        except PermanentError as error:
            message = str(error)
            _fail(requests, lambda: PermanentError(message))
        except Exception:  # noqa: BLE001 - a bug must leave no client without an answer, and the next group a committer
            _log.exception("a group of %d requests could not be logged", len(requests))
            _fail(requests, lambda: RuntimeError("the request could not be logged; the sidecar's log has the reason"))
        else:
            # answered after the first attempt, taken or not: what a consumer takes later, the log keeps until then
            for request in requests:
                request.succeed()
            await self._delivery.settle()

    def _tell(self, error: RetryableError) -> None:
        """Say that the disk refuses, now and then: a full one does so many times a second."""
        self._untold += 1
        now = self._clock.monotonic()
        if self._told is None or now - self._told >= _TELL_SECONDS:
            _log.warning("%s (%d groups of requests refused since this was last said)", error, self._untold)
            self._told, self._untold = now, 0

    async def _write(self, groups: list[PendingGroup]) -> Written:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._writer, write_groups, groups, self._log, self._clock)

    def _remember(self, requests: list[PendingRequest], written: Written) -> None:
        self._window.add((request.answer for request in requests), written.sequence)
        self._stats.requests += len(requests)
        if written.rows is not None:
            self._stats.records += 1
            self._stats.rows += written.rows.num_rows
            self._stats.bytes += written.payload_bytes
            self._stats.sync_seconds += written.seconds


def _fail(requests: Sequence[PendingRequest], error: Callable[[], Exception]) -> None:
    for request in requests:
        request.fail(error())  # one each: an exception collects the tracebacks of all who raise it
