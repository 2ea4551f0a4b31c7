"""From the log to the consumers: every one gets every batch, in order, or none from there on.

A consumer that raises RetryableError is tried again until it takes the batch. Meanwhile nothing newer is logged, so
that what waits stays bounded: requests pile up until the intake refuses them.

Any other exception is a bug, or the consumer's word that it will never take this batch. Going on with the next batch
would let its `committed()` run past the one it lacks, and the log would drop acknowledged spans. So the consumer is
suspended: it gets nothing more until the sidecar is started again, the log keeps everything from that batch on, and the
other consumers go on. When the log reaches its bound the intake refuses, which is seen; silently losing is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from spanward.store._intake_model import BatchConsumer, IntakeSettings, IntakeStats
from spanward.store.batch import Batch
from spanward.store.errors import RetryableError

_log = logging.getLogger("spanward.store.intake")


@dataclass(slots=True)
class _Sink:
    """A consumer and how far it is.

    Attributes:
        taken: everything up to this sequence was taken, or need not be given.
        waiting: what it asked to get again later.
        pause: seconds it asked for, if any.
        lacks: the sequence it was suspended at.
    """

    name: str
    consumer: BatchConsumer
    taken: int = 0
    waiting: Batch | None = None
    pause: float | None = None
    lacks: int | None = None


class Delivery:
    """Hands batches to consumers. All methods but `committed` belong to the event loop."""

    def __init__(self, consumers: Sequence[BatchConsumer], settings: IntakeSettings, stats: IntakeStats) -> None:
        self._sinks = [_Sink(type(consumer).__name__, consumer) for consumer in consumers]
        self._settings = settings
        self._stats = stats
        self._stopping = asyncio.Event()

    def begin(self) -> tuple[int, int]:
        """Ask every consumer where it stands.

        Returns:
            The lowest and the highest sequence that any has committed; (0, 0) when there are none.
        """
        for sink in self._sinks:
            sink.taken = sink.consumer.committed()
        standing = [sink.taken for sink in self._sinks] or [0]
        return min(standing), max(standing)

    async def offer(self, batch: Batch) -> None:
        """Try the batch once with every consumer that lacks it, in their order."""
        for sink in self._sinks:
            if sink.lacks is None and batch.sequence > sink.taken:
                sink.waiting = batch
                await self._attempt(sink)

    async def settle(self) -> None:
        """Go on until nobody asks for a repetition any more, or `stop` is called."""
        pause = self._settings.retry_first_seconds
        while behind := [sink for sink in self._sinks if sink.waiting is not None]:
            wanted = [sink.pause for sink in behind if sink.pause is not None]
            await self._sleep(min(wanted, default=pause))
            if self._stopping.is_set():
                self._leave_to_the_log(behind)
                return
            pause = min(2 * pause, self._settings.retry_longest_seconds)
            for sink in behind:
                self._stats.retries += 1
                await self._attempt(sink)

    def stop(self) -> None:
        """No more retries: what a consumer did not take stays in the log."""
        self._stopping.set()

    def committed(self, last: int) -> int:
        """Up to where nobody needs the log any more; `last` when there are no consumers. From any thread."""
        return min((_committed(sink) for sink in self._sinks), default=last)

    async def _attempt(self, sink: _Sink) -> None:
        batch = sink.waiting
        assert batch is not None
        try:
            await sink.consumer.consume(batch)
        except RetryableError as error:
            if sink.pause is None:
                _log.info("%s takes record %d later: %s", sink.name, batch.sequence, error)
            sink.waiting = error.remainder if isinstance(error.remainder, Batch) else batch
            sink.pause = error.retry_after
            return
        except Exception as error:  # noqa: BLE001 - a plug-in's bug; it must not stop the other consumers
            _log.exception("%s failed on record %d and gets nothing more until a restart", sink.name, batch.sequence)
            self._suspend(sink, batch.sequence, f"{type(error).__name__}: {error}")
            return
        sink.taken, sink.waiting, sink.pause = batch.sequence, None, None

    def _leave_to_the_log(self, behind: Sequence[_Sink]) -> None:
        for sink in behind:
            assert sink.waiting is not None
            self._suspend(sink, sink.waiting.sequence, "it did not take its last batch before the shutdown")

    def _suspend(self, sink: _Sink, sequence: int, why: str) -> None:
        sink.waiting, sink.pause, sink.lacks = None, None, sequence
        self._stats.suspended[sink.name] = why

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), min(seconds, self._settings.retry_longest_seconds))
        except TimeoutError:
            return


def _committed(sink: _Sink) -> int:
    committed = sink.consumer.committed()
    return committed if sink.lacks is None else min(committed, sink.lacks - 1)
