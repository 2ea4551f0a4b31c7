"""The `lake` exporter: batches into the store's memory, and from there, in the background, into its tables."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from spanward.exporter.lake.config import LakeExporterConfig
from spanward.sidecar.component import Host, Job
from spanward.sidecar.instruments import counter
from spanward.store.batch import Batch
from spanward.store.compaction import CompactionSettings
from spanward.store.errors import RetryableError, SpanwardError
from spanward.store.retention import RetentionSettings

_MAX_BACKOFF_SECONDS: Final = 60.0
_BACKGROUND_NICENESS: Final = 10


class LakeExporter:
    """Commits when enough rows wait or the oldest has waited long enough.

    A span is queryable when `consume` returns. One that is not committed yet is in the intake log, which is not cut
    before `committed` says so: a commit that fails loses nothing, it is tried again, ever more seldom, and health says
    why. Meanwhile memory fills up to its bound, and then `consume` waits.
    """

    def __init__(self, config: LakeExporterConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._store = host.store
        self._name = host.identifier
        self._max_hot_bytes = config.max_hot_mib << 20
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self._failures = 0
        self._committed = 0
        # its own thread: the system gives it what the others leave, and a thread cannot take that back
        self._background = ThreadPoolExecutor(1, "spanward-compaction", initializer=_step_back)
        labels = ("exporter",)
        self._sent = counter(host.metrics, "otelcol_exporter_sent_spans", "Spans that the destination took.", labels)
        self._failed = counter(
            host.metrics, "spanward_lake_failed_commits", "Commits that have to be tried again.", labels
        )

    async def start(self) -> None:
        """Become the one that writes into the lake, and begin to commit.

        Raises:
            ConfigurationError: another exporter writes into it.
            StoreError: the disk refused.
        """
        assert self._host.log is not None  # every exporter has one
        await asyncio.to_thread(self._store.claim, self._name, self._host.log.folder)
        self._committed = await asyncio.to_thread(self._store.committed_sequence)
        self._task = asyncio.create_task(self._run(), name=f"{self._name}: commit")

    async def shutdown(self) -> None:
        """Commit what is left; what cannot be committed stays in the intake log. Idempotent."""
        self._stopping = True
        self._wake.set()
        self._room.set()
        task, self._task = self._task, None
        if task is not None:
            await task  # not cancelled: a commit under way must end before the store is closed
            left = self._store.hot_rows()
            if left:
                self._host.logger.warning("%d spans are not in the lake yet; they stay in the intake log", left)
        self._background.shutdown(wait=False, cancel_futures=True)  # a merge under way is nothing to wait for here
        self._store.release(self._name)

    async def consume(self, batch: Batch) -> None:
        """Take a batch; waits while memory is full.

        Raises:
            RetryableError: the exporter is shutting down; the log keeps the batch.
            PermanentError: it is no logged batch of spans.
        """
        while self._store.hot_bytes() >= self._max_hot_bytes:
            self._room.clear()
            self._hurry()
            await self._room.wait()
            if self._stopping:
                raise RetryableError(f"{self._name}: shutting down; the intake log keeps the spans")
        self._store.append(batch)
        if self._store.hot_rows() >= self._config.commit_rows:
            self._hurry()

    def committed(self) -> int:
        """See `spanward.sidecar.component.Consumer`."""
        return self._committed

    def jobs(self) -> Iterable[tuple[str, float, Job]]:
        """Removal of what has expired, and merging of small files."""
        if self._config.retention_interval_seconds:
            yield "retention", self._config.retention_interval_seconds, self._enforce_retention
        if self._config.compaction_interval_seconds:
            yield "compaction", self._config.compaction_interval_seconds, self._compact

    def _hurry(self) -> None:
        """Commit ahead of time, unless the last commit failed: then time has to pass."""
        if not self._failures:
            self._wake.set()

    async def _run(self) -> None:
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), self._pause())
            self._wake.clear()
            if not self._stopping:
                await self._drain()
        await self._drain()

    def _pause(self) -> float:
        """Seconds to the next commit; failures make them longer, up to a minute."""
        interval = self._config.commit_interval_seconds
        return max(interval, min(interval * 2.0 ** min(self._failures, 10), _MAX_BACKOFF_SECONDS))

    async def _drain(self) -> None:
        """Commit, a version at a time, until little waits (at shutdown: nothing) or a commit fails."""
        while self._store.hot().records:
            if not await self._commit():
                return
            if not self._stopping and self._store.hot_rows() < self._config.commit_rows:
                return

    async def _commit(self) -> bool:
        try:
            result = await asyncio.to_thread(self._store.commit, at_most=self._config.commit_rows)
        except SpanwardError as error:
            self._host.logger.warning("%s", error)
            self._failing(str(error))
            return False
        except Exception as error:
            # a bug; the spans stay in memory and in the log, and health says so
            self._host.logger.exception("a bug; trying again")
            self._failing(f"{type(error).__name__}: {error}")
            return False
        self._committed = result.sequence
        self._sent.labels(self._name).inc(result.rows)
        self._room.set()
        if self._failures:
            self._failures = 0
            self._host.report("ok", "")
        return True

    def _failing(self, why: str) -> None:
        self._failures += 1
        self._failed.labels(self._name).inc()
        self._host.report("degraded", f"spans stay in memory and in the intake log: {why}")

    async def _enforce_retention(self) -> None:
        settings = RetentionSettings(self._config.reader_grace_seconds, self._config.percentiles_days)
        report = await asyncio.to_thread(self._store.retention(settings).run)
        if report.rows or report.hot_rows or report.files_removed:
            self._host.logger.info(
                "retention: %d rows left the tables and %d memory; %d files removed, %d waiting; %d keys destroyed",
                report.rows,
                report.hot_rows,
                report.files_removed,
                report.files_waiting,
                len(report.keys_destroyed),
            )

    async def _compact(self) -> None:
        settings = CompactionSettings(
            min_files=self._config.compaction_min_files,
            max_bytes=self._config.compaction_max_mib << 20,
            reader_grace_seconds=self._config.reader_grace_seconds,
        )
        loop = asyncio.get_running_loop()
        report = await loop.run_in_executor(self._background, self._store.compact, settings)
        if report.files_before:
            self._host.logger.info(
                "compaction: %d files became %d, %d rows, %d bytes became %d",
                report.files_before,
                report.files_after,
                report.rows,
                report.bytes_before,
                report.bytes_after,
            )


def _step_back() -> None:
    """Let this thread have the CPU when no other wants it (Linux gives each thread a priority of its own)."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _BACKGROUND_NICENESS)
