"""The connector: spans in, sketches in memory, partials in the table `percentiles`, metrics for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa

from spanward.connector.percentiles.aggregate import PARTIALS, SPAN_COLUMNS, aggregate, merge
from spanward.connector.percentiles.config import PercentilesConfig
from spanward.connector.percentiles.state import Flush, SketchState
from spanward.sidecar.component import Host
from spanward.store.batch import Batch
from spanward.store.errors import OverloadedError, SpanwardError
from spanward.store.schema import PERCENTILES
from spanward.store.span_store import SpanStore

TABLE: Final = "percentiles"

_FOLD_ROWS: Final = 65_536
"""So many waiting spans are worth a fold: large enough to be cheap per span, 15 ms of work."""

_MAX_WAITING_ROWS: Final = 16 * _FOLD_ROWS
"""Beyond that `consume` waits for the fold: backpressure."""

_FLUSH_PARTIALS: Final = 100_000
"""So many partials in memory are flushed ahead of time."""

_MAX_PARTIALS: Final = 4 * _FLUSH_PARTIALS
"""Beyond that, which only happens while the table cannot be written, `consume` refuses."""


class PercentilesConnector:
    """Consumes spans and keeps their latency percentiles.

    Every partial is in memory until a flush has committed it, under a transaction whose version is the last log record
    it comes from. What was in memory at a crash comes again from the log, so that each span is counted exactly once. A
    flush that fails is kept and tried again, unchanged, until it is in the table.
    """

    def __init__(self, config: PercentilesConfig, host: Host) -> None:
        self._config = config
        self._host = host
        self._name = host.identifier
        self._state = SketchState(0, max_series=config.max_series)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failing = False
        self._stopping = False
        self._overflowed = False

    async def start(self) -> None:
        """Find out what the table has, and begin to flush.

        Raises:
            ConfigurationError: another connector writes the table.
            SpanwardError: the lake has spans from before there were sketches, and cannot be read or written.
        """
        self._host.store.claim_table(TABLE, self._name)
        await asyncio.to_thread(backfill, self._host.store)
        committed = await asyncio.to_thread(self._host.store.table_committed, TABLE)
        self._state = SketchState(committed, max_series=self._config.max_series)
        self._host.metrics.register(self._state.metrics)
        self._task = asyncio.create_task(self._run(), name="percentiles: flush")

    async def shutdown(self) -> None:
        """Flush what is held; what cannot be written stays in the intake log. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            self._stopping = True
            self._wake.set()
            await task  # not cancelled: a commit under way must end before the next one begins
            self._host.metrics.unregister(self._state.metrics)
        self._host.store.release_table(TABLE, self._name)

    async def consume(self, batch: Batch) -> None:
        """Take a batch; one that is in the table already is ignored.

        Raises:
            OverloadedError: the table cannot be written and memory for sketches is used up.
        """
        if self._state.held_partials > _MAX_PARTIALS:
            self._wake.set()
            raise OverloadedError(
                "percentiles: the table cannot be written and too many sketches wait in memory; see the health report",
                retry_after=self._config.flush_interval_seconds,
            )
        self._state.add(batch)
        if self._state.waiting_rows >= _MAX_WAITING_ROWS:
            await asyncio.to_thread(self._state.fold)
        elif self._state.waiting_rows >= _FOLD_ROWS:
            self._wake.set()

    def committed(self) -> int:
        """See `spanward.sidecar.component.Consumer`."""
        return self._state.committed()

    def held(self, after: int) -> pa.Table | None:
        """See `SketchState.held`: what a reader in this process adds to the table."""
        return self._state.held(after)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._config.flush_interval_seconds
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), max(due - loop.time(), 0))
            self._wake.clear()
            if loop.time() < due and not self._stopping:
                await self._attempt(self._fold)
            else:
                await self._attempt(self._write)
                due = loop.time() + self._config.flush_interval_seconds
        while await self._attempt(self._write):
            pass

    async def _attempt(self, work: Callable[[], bool]) -> bool:
        """Do `work` in a thread; False when there was nothing to do or it failed, which health is told."""
        try:
            return await asyncio.to_thread(work)
        except SpanwardError as error:
            self._host.logger.warning("%s; trying again", error)
            self._degrade(str(error))
        except Exception as error:
            # a bug; the spans stay in memory and in the log, and health says so
            self._host.logger.exception("a bug, trying again")
            self._degrade(f"{type(error).__name__}: {error}")
        return False

    def _degrade(self, why: str) -> None:
        self._failing = True
        self._host.report("degraded", f"the table {TABLE} cannot be written: {why}")

    def _fold(self) -> bool:
        self._state.fold()
        self._report_overflow()
        return self._state.held_partials > _FLUSH_PARTIALS and not self._failing and self._write()

    def _write(self) -> bool:
        flush = self._state.take()
        self._report_overflow()
        if flush is None:
            return False
        store = self._host.store
        # a commit that failed half-way may be in the table all the same
        if store.table_committed(TABLE) < flush.last:
            store.append_table(TABLE, table_rows(flush, store.app_id), first=flush.first, last=flush.last)
        self._state.landed(flush)
        if self._failing:
            self._failing = False
            self._host.report("ok", "")
        return True

    def _report_overflow(self) -> None:
        if self._state.limit.overflow_spans and not self._overflowed:
            self._overflowed = True
            self._host.logger.warning(
                "more than %d operations of a tenant: the rest is counted as 'other'; raise max_series or give spans "
                "names of low cardinality",
                self._config.max_series,
            )


def backfill(store: SpanStore) -> None:
    """Sketch what a lake already holds when the first connector comes to it; the log has these spans no more.

    Call it before anything is replayed into the store: hot rows would be counted again.

    Raises:
        SpanwardError: the lake cannot be read or written.
    """
    snapshot = store.snapshot(None)
    if store.table_committed(TABLE) or not snapshot.sequence:
        return
    batches = snapshot.dataset().to_batches(columns=list(SPAN_COLUMNS))
    runs = [aggregate(pa.Table.from_batches([rows])) for rows in batches if rows.num_rows]
    partials = merge(pa.concat_tables(runs)) if runs else PARTIALS.empty_table()
    rows = table_rows(Flush(partials, 1, snapshot.sequence), store.app_id)
    store.append_table(TABLE, rows, first=1, last=snapshot.sequence)


def table_rows(flush: Flush, app_id: str) -> pa.Table:
    """The rows of `PERCENTILES` that a flush adds."""
    partials = flush.partials
    size = partials.num_rows
    more: dict[str, Any] = {
        "date": partials["minute"].cast(pa.date32()),
        "app_id": pa.repeat(app_id, size),
        "sequence_first": pa.array(np.full(size, flush.first)),
        "sequence_last": pa.array(np.full(size, flush.last)),
    }
    columns = [more[name] if name in more else partials[name] for name in PERCENTILES.names]
    return pa.table(columns, schema=PERCENTILES)
