"""The way into a pipeline: a request is acknowledged when it is on the disk, and taken once.

    submit -> seen before? -> decode (threads) -> group -> one record, one fsync (a thread) -> consumers -> answers

What arrives while the threads are busy is decoded together next, and what gets decoded while one record is written
goes into the next one: the costs of a batch of rows, of a thread and of an fsync are shared by whoever waits for them.
A client that goes away does not stop its request, and cannot leave it half-taken: it runs on, and the client's
repetition is recognised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final

from spanward.store._decoding import DecodedRows, DecodeQueue, grouped
from spanward.store._delivery import Delivery
from spanward.store._group import PendingRequest
from spanward.store._group_commit import GroupCommitter
from spanward.store._intake_model import (
    BatchConsumer,
    DecodedGroup,
    DecodeRequests,
    IntakeSettings,
    IntakeStats,
    Outcome,
    Request,
    SubmitResult,
)
from spanward.store._upkeep import recover_next, trim
from spanward.store.clock import Clock
from spanward.store.dedup import DedupKeys, DedupWindow
from spanward.store.errors import OverloadedError, RetryableError
from spanward.store.keyring import Keyring
from spanward.store.log import IntakeLog

__all__ = [
    "BatchConsumer",
    "DecodeRequests",
    "DecodedGroup",
    "DecodedRows",
    "Intake",
    "IntakeSettings",
    "IntakeStats",
    "Outcome",
    "Request",
    "SubmitResult",
    "grouped",
]

_DIGEST_INLINE_BYTES: Final = 1 << 20
"""A body up to this size is hashed on the event loop, 40 us at most: a thread's hand-over costs more."""


class Intake:
    """The intake of one pipeline. All methods but `trim` belong to the event loop that called `start`.

    Attributes:
        stats: counters since the start.
    """

    def __init__(
        self,
        log: IntakeLog,
        keyring: Keyring,
        consumers: Sequence[BatchConsumer],
        decode: DecodeRequests,
        *,
        clock: Clock,
        settings: IntakeSettings | None = None,
    ) -> None:
        """The log stays the caller's: it is not closed here."""
        self.stats = IntakeStats()
        self._log = log
        self._clock = clock
        self._settings = settings = settings or IntakeSettings()
        self._dedup_keys = DedupKeys(keyring.digest_key())
        self._window = DedupWindow(
            seconds=settings.dedup_window_seconds, max_entries=settings.dedup_max_entries, clock=clock
        )
        self._delivery = Delivery(consumers, settings, self.stats)
        self._decoders = ThreadPoolExecutor(settings.decode_threads, "spanward-decode")
        self._writer = ThreadPoolExecutor(1, "spanward-log")
        self._committer = GroupCommitter(
            log, self._window, self._delivery, self._writer, clock=clock, settings=settings, stats=self.stats
        )
        self._decoding = DecodeQueue(decode, self._decoders, self._committer.add, settings=settings)
        self._flights: dict[object, asyncio.Future[SubmitResult]] = {}
        self._pending_bytes = 0
        self._running: asyncio.Task[None] | None = None
        self._closing = False

    @property
    def log_bytes(self) -> int:
        """Size of the log on disk."""
        return self._log.size_bytes

    @property
    def pending_bytes(self) -> int:
        """Bytes of the requests that are under way."""
        return self._pending_bytes

    async def start(self) -> None:
        """Recover, then take requests: every consumer is given the records above its `committed()`.

        Returns when all of them have been taken. A consumer that asks for time is waited for.

        Raises:
            StoreError: a record was written by a newer version, or the log cannot be read.
        """
        loop = asyncio.get_running_loop()
        lowest, highest = self._delivery.begin()
        try:
            await loop.run_in_executor(self._writer, self._log.reserve, highest)
            records = self._log.reader().records(0)
            advance = partial(recover_next, records, self._window, lowest)
            while (batch := await loop.run_in_executor(self._writer, advance)) is not None:
                await self._delivery.offer(batch)
                await self._delivery.settle()
        except BaseException:
            self._stop_threads(wait=False)
            raise
        self._running = asyncio.create_task(self._committer.run(), name="spanward group commit")

    async def submit(self, tenant: str, body: bytes, form: object) -> SubmitResult:
        """Take one request; returning is the acknowledgement: its rows are on the disk and were offered to consumers.

        What decoding says is wrong with it, `submit` raises; nothing is remembered of such a request.

        Args:
            tenant: whose spans these are.
            body: the request, by which a repetition is recognised.
            form: how it is written, for the function that decodes.

        Raises:
            OverloadedError: a bound is reached; nothing was taken; try after `retry_after`.
            RetryableError: the disk refused, or the intake is not running; nothing was acknowledged.
            PermanentError: the rows are too many for one record.
        """
        held = len(body)
        self._admit(held)
        self._pending_bytes += held
        try:
            key = await self._digest(tenant, body)
            while True:
                if (answer := self._window.find(key)) is not None:
                    return self._repeat(answer.rejected, answer.message)
                flight = self._flights.get(key)
                if flight is None:
                    self._refuse_unless_running()  # it may have been stopped while the digest was made
                    flight = self._depart(key, Request(tenant, body, form, self._clock.now_ns()))
                    held = 0  # now the flight's: it may outlive this call
                    return await asyncio.shield(flight)
                with suppress(Exception):  # the first one's failure is not this one's answer: it is tried as new
                    first = await asyncio.shield(flight)
                    return self._repeat(first.rejected, first.message)
        finally:
            self._pending_bytes -= held

    async def shutdown(self) -> None:
        """Refuse what comes, finish what is under way, stop. Idempotent.

        A batch that a consumer does not take now stays in the log for it.
        """
        self._closing = True
        self._delivery.stop()
        while self._flights:
            await asyncio.wait(self._flights.values())
        self._committer.end()
        if self._running is not None:
            await self._running
        await asyncio.to_thread(self._stop_threads, wait=True)

    def trim(self) -> None:
        """Truncate the log up to what every consumer has committed. Call it off the loop, now and then.

        Answers that are still within the dedup window outlive their records.

        Raises:
            RetryableError: the disk refused.
        """
        trim(self._log, self._window, self._delivery.committed(self._log.last_sequence), self._settings)

    def _admit(self, size: int) -> None:
        self._refuse_unless_running()
        wait = self._settings.retry_after_seconds
        if self._pending_bytes and self._pending_bytes + size > self._settings.max_pending_bytes:
            self.stats.refuse("pending")
            raise OverloadedError(f"{self._pending_bytes} bytes wait for the disk; send again later", retry_after=wait)
        if self._log.size_bytes > self._settings.max_log_bytes:
            self.stats.refuse("log")
            raise OverloadedError(
                f"the intake log holds {self._log.size_bytes} bytes that exporters have not taken; send again later",
                retry_after=wait,
            )

    def _refuse_unless_running(self) -> None:
        if self._closing or self._running is None:
            self.stats.refuse("closing")
            wait = self._settings.retry_after_seconds
            raise RetryableError("the intake is not running; send again later", retry_after=wait)

    async def _digest(self, tenant: str, body: bytes) -> str:
        """The request's dedup key; "" when repetitions are not to be recognised."""
        if self._settings.dedup_window_seconds <= 0:
            return ""
        if len(body) <= _DIGEST_INLINE_BYTES:
            return self._dedup_keys.of(tenant, body)
        return await asyncio.get_running_loop().run_in_executor(self._decoders, self._dedup_keys.of, tenant, body)

    def _repeat(self, rejected: int, message: str) -> SubmitResult:
        self.stats.repeated += 1
        return SubmitResult(rejected, message, repeated=True)

    def _depart(self, key: str, request: Request) -> asyncio.Future[SubmitResult]:
        """Set the request going; no caller's cancellation reaches what it returns."""
        place: object = key or object()  # without a key it cannot be found by anyone
        flight: asyncio.Future[SubmitResult] = asyncio.get_running_loop().create_future()
        self._flights[place] = flight

        def land(landed: asyncio.Future[SubmitResult]) -> None:
            del self._flights[place]
            self._pending_bytes -= len(request.body)
            landed.exception()  # seen, also when nobody waits for it any more

        flight.add_done_callback(land)
        self._decoding.add(PendingRequest(request, key, flight))
        return flight

    def _stop_threads(self, *, wait: bool) -> None:
        self._decoders.shutdown(wait=wait)
        self._writer.shutdown(wait=wait)
