"""Batches of a Pipeline: bounded, in order, and nothing thrown away to make room.

Whoever adds to a full queue waits. One batch is on its way at a time; what is added meanwhile makes the next one, so
that many callers who wait for their result share a write, and a single one does not wait for a timer.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # pyright: ignore[reportPrivateUsage] - the SDK's exporters use the same key
    attach,
    detach,
    set_value,
)
from opentelemetry.sdk.trace import ReadableSpan

from spanward.processor.policy.span import SpanRecord, Verdict
from spanward.sdk._guard import logger
from spanward.store.errors import SpanwardError

T = TypeVar("T")

_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0


@dataclass(slots=True, eq=False)
class Item:
    """One event on its way.

    Attributes:
        span: as it was recorded; it never leaves the process.
        record: the same, governed as soon as it has a verdict.
        settled: True when stored, False when it could not be, or the policy said not to.
        hurry: somebody waits for it.
    """

    span: ReadableSpan
    record: SpanRecord
    settled: asyncio.Future[bool]
    hurry: bool

    @property
    def verdict(self) -> Verdict | None:
        """What the policy said; None until it was asked."""
        return self.record.verdict


@dataclass(slots=True)
class Counts:
    """What became of the items so far."""

    accepted: int = 0
    stored: int = 0
    dropped: int = 0
    failed: int = 0
    batches: int = 0
    pii: Counter[str] = field(default_factory=Counter[str])
    last_error: str = ""


class Batcher:
    """The queue and the task behind a Pipeline. Belongs to the event loop in which `start` was called.

    Args:
        govern: gives each record its verdict; called in a thread, once for each item.
        store: takes governed items durably, all or none; called in a thread; raises SpanwardError when it cannot.
        batch_size: most items in one `store`.
        flush_interval_seconds: longest time that an item for which nobody waits is kept back.
        queue_size: most items that have been added and are not settled.
        attempts: how often one batch is tried, with pauses that grow from 0.1 to 5 s.
    """

    def __init__(
        self,
        govern: Callable[[Sequence[SpanRecord]], None],
        store: Callable[[Sequence[Item]], None],
        *,
        batch_size: int,
        flush_interval_seconds: float,
        queue_size: int,
        attempts: int,
    ) -> None:
        self.counts = Counts()
        self._govern = govern
        self._store = store
        self._batch_size = batch_size
        self._interval = flush_interval_seconds
        self._attempts = attempts
        self._queue: deque[Item] = deque()
        self._unsettled: set[Item] = set()
        self._room = asyncio.Semaphore(queue_size)
        self._added = asyncio.Event()
        self._ready = asyncio.Event()
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work."""
        self._task = asyncio.create_task(self._run(), name="spanward-pipeline")

    @property
    def unsettled(self) -> int:
        """Items added and neither stored nor given up."""
        return len(self._unsettled)

    async def add(self, span: ReadableSpan, record: SpanRecord, *, hurry: bool) -> Item:
        """Take an event, waiting for room; with `hurry` it need not wait for company."""
        await self._room.acquire()
        item = Item(span, record, asyncio.get_running_loop().create_future(), hurry)
        self._queue.append(item)
        self._unsettled.add(item)
        self.counts.accepted += 1
        self._added.set()
        if self._is_ready():
            self._ready.set()
        return item

    def _is_ready(self) -> bool:
        """Whether the next batch should not wait for company: it is full, or somebody waits for one of its items.

        Whoever hurries also hurries what was added before, for the order is kept.
        """
        return (
            self._closing or len(self._queue) >= self._batch_size or any(item.hurry for item in reversed(self._queue))
        )

    async def flush(self) -> bool:
        """Wait until all that was added before is settled; True when all of it is stored."""
        waiting = [item.settled for item in self._unsettled]
        if self._queue:
            self._queue[-1].hurry = True
        self._ready.set()
        return all(await asyncio.gather(*waiting))

    async def close(self) -> None:
        """Settle everything, then stop. Idempotent."""
        self._closing = True
        self._added.set()
        self._ready.set()
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while True:
            await self._added.wait()
            if self._queue:
                await self._company()
                await self._deliver([self._queue.popleft() for _ in range(min(self._batch_size, len(self._queue)))])
            elif self._closing:
                return
            else:
                self._added.clear()

    async def _company(self) -> None:
        """Give others the time to join, unless somebody waits or the batch is full."""
        self._ready.clear()
        if not self._is_ready():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ready.wait(), self._interval)

    async def _deliver(self, batch: list[Item]) -> None:
        try:
            stored = await self._attempt(batch)
        except Exception as error:  # noqa: BLE001 - a bug, not a destination in trouble: tell it, and keep working
            logger.exception("a batch of %d events is lost", len(batch))
            self.counts.last_error = str(error)
            stored = False
        self._settle(batch, stored=stored)

    async def _attempt(self, batch: list[Item]) -> bool:
        await asyncio.to_thread(_quietly, self._govern, [item.record for item in batch])
        keep = [item for item in batch if item.verdict is not None and not item.verdict.dropped]
        pause = _FIRST_PAUSE
        for attempt in range(1, self._attempts + 1):
            try:
                if keep:
                    await asyncio.to_thread(_quietly, self._store, keep)
            except SpanwardError as error:
                self.counts.last_error = str(error)
                logger.warning(
                    "%d events are not stored (attempt %d of %d): %s", len(keep), attempt, self._attempts, error
                )
            else:
                return True
            if attempt < self._attempts:
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        return False

    def _settle(self, batch: list[Item], *, stored: bool) -> None:
        self.counts.batches += 1
        for item in batch:
            verdict = item.verdict
            dropped = verdict is not None and verdict.dropped
            self.counts.dropped += dropped
            self.counts.stored += stored and not dropped
            self.counts.failed += not stored and not dropped
            self.counts.pii.update(verdict.pii if verdict is not None else ())
            self._unsettled.discard(item)
            self._room.release()
            if not item.settled.done():
                item.settled.set_result(stored and not dropped)


def _quietly(work: Callable[[Sequence[T]], None], items: Sequence[T]) -> None:
    """Do the work without instrumentation: exporting spans must not make spans."""
    token = attach(set_value(_SUPPRESS_INSTRUMENTATION_KEY, True))
    try:
        work(items)
    finally:
        detach(token)
