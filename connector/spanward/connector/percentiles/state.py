"""What the connector holds between two flushes: spans not looked at yet, partials, and the flush under way.

    add() -> waiting --fold()--> runs --take()--> in flight --landed()--> (in the table)

`add` costs the caller next to nothing; the arithmetic is done on many batches at once, by whoever calls `fold`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from spanward.connector.percentiles.aggregate import PARTIALS, SPAN_COLUMNS, aggregate, merge
from spanward.connector.percentiles.metrics import SpanMetrics
from spanward.connector.percentiles.series import SeriesLimit
from spanward.store.batch import Batch
from spanward.store.chunks import joined

_MAX_RUNS: Final = 16


@dataclass(frozen=True, slots=True)
class Flush:
    """Partials of the log records first..last, on their way into the table."""

    partials: pa.Table
    first: int
    last: int


class SketchState:
    """Sketches in memory. `add` belongs to the event loop; all other methods are safe to call from any thread."""

    def __init__(self, committed: int, *, max_series: int) -> None:
        """Start with nothing held.

        Args:
            committed: sequence up to which the table has everything.
            max_series: bound on series per tenant.
        """
        self._lock = threading.Lock()  # guards the fields, held for moments
        self._folding = threading.RLock()  # held while computing; taken before `_lock`
        self._waiting: list[Batch] = []
        self._runs: list[pa.Table] = []
        self._range: tuple[int, int] | None = None  # log records in `_runs`
        self._in_flight: Flush | None = None
        self._committed = committed
        self._last = committed
        self.waiting_rows = 0
        self.held_partials = 0
        self.limit = SeriesLimit(max_series)
        self.metrics = SpanMetrics(self.limit, self.fold)

    def add(self, batch: Batch) -> None:
        """Take a batch; one that was taken before, or is in the table, is ignored."""
        with self._lock:
            if batch.sequence <= self._last:
                return
            self._last = batch.sequence
            if len(batch):
                self._waiting.append(Batch(batch.signal, batch.rows.select(SPAN_COLUMNS), batch.sequence))
                self.waiting_rows += len(batch)

    def committed(self) -> int:
        """Sequence up to which nothing is held in memory alone."""
        with self._lock:
            return self._last if self._is_empty() else self._committed

    def fold(self) -> None:
        """Turn the waiting spans into partials."""
        with self._folding:
            with self._lock:
                waiting = list(self._waiting)
            if not waiting:
                return
            run = self.limit.apply(aggregate(pa.Table.from_batches(joined(batch.rows for batch in waiting))))
            self.metrics.add(run)
            runs = [*self._runs, run]
            self._runs = [merge(pa.concat_tables(runs))] if len(runs) > _MAX_RUNS else runs
            self.held_partials = sum(run.num_rows for run in self._runs)
            with self._lock:
                del self._waiting[: len(waiting)]
                self.waiting_rows -= sum(len(batch) for batch in waiting)
                first = self._range[0] if self._range else waiting[0].sequence
                self._range = (first, waiting[-1].sequence)

    def take(self) -> Flush | None:
        """What to write next: the flush that failed before, else all that is held; None when that is nothing."""
        with self._folding:
            self.fold()
            if self._in_flight is None and self._range is not None:
                merged = merge(pa.concat_tables(self._runs))
                with self._lock:
                    self._in_flight = Flush(merged, *self._range)
                    self._runs, self._range, self.held_partials = [], None, 0
            return self._in_flight

    def landed(self, flush: Flush) -> None:
        """The flush that `take` gave is in the table."""
        with self._lock:
            self._committed = flush.last
            self._in_flight = None

    def held(self, after: int) -> pa.Table | None:
        """The partials of all records above `after`; None when some of these were let go already: ask again."""
        with self._folding:
            self.fold()
            with self._lock:
                if after < self._committed:
                    return None
                tables = list(self._runs)
                if self._in_flight is not None and self._in_flight.last > after:
                    tables.append(self._in_flight.partials)
            return merge(pa.concat_tables(tables)) if tables else PARTIALS.empty_table()

    def _is_empty(self) -> bool:
        return not self._waiting and self._range is None and self._in_flight is None
