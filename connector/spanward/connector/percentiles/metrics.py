"""Span metrics for Prometheus, in the names and labels of the Collector's span-metrics connector.

Jaeger's Monitor tab reads exactly these. Counts are cumulative since start and derived from the sketches: a sketch
bucket that an explicit bound falls into counts as within that bound, so durations up to 0.54 % above a bound may be
counted with it, and a duration equal to it always is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np
import pyarrow as pa
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from spanward.connector.percentiles.aggregate import sketch_columns
from spanward.connector.percentiles.buckets import HIGHEST_INDEX, LOWEST_INDEX, lower_bound
from spanward.connector.percentiles.series import SeriesKey, SeriesLimit, distinct_series

BOUNDS_MS: Final = (2, 4, 6, 8, 10, 50, 100, 200, 400, 800, 1_000, 1_400, 2_000, 5_000, 10_000, 15_000)
"""The Collector's default explicit buckets."""

LABELS: Final = ("service_name", "span_name", "span_kind", "status_code", "tenant")

_NS_PER_MS: Final = 1_000_000
_CELLS: Final = len(BOUNDS_MS) + 1
_EXPLICIT: Final = np.searchsorted(
    np.array(BOUNDS_MS) * _NS_PER_MS,
    lower_bound(np.arange(LOWEST_INDEX, HIGHEST_INDEX + 1)),
    side="right",
)
"""Sketch bucket (counted from LOWEST_INDEX) -> explicit bucket."""

_LE: Final = (*(f"{float(bound)!r}" for bound in BOUNDS_MS), "+Inf")


class SpanMetrics:
    """Cumulative counts of each series, and the Prometheus collector that shows them. Safe to use from any thread."""

    def __init__(self, limit: SeriesLimit, refresh: Callable[[], None]) -> None:
        """Make a collector.

        Args:
            limit: knows how many series there are and what did not fit.
            refresh: called before each scrape, to count what came in since the last one.
        """
        self._limit = limit
        self._refresh = refresh
        self._lock = threading.Lock()
        self._position: dict[SeriesKey, int] = {}
        self._cells = np.zeros((0, _CELLS), np.int64)
        self._sum_ms = np.zeros(0)

    def add(self, partials: pa.Table) -> None:
        """Count partials that were not counted before."""
        keys, series_of_row = distinct_series(partials)
        sketches = sketch_columns(partials)
        with self._lock:
            positions = np.array([self._position.setdefault(key, len(self._position)) for key in keys], np.int64)
            self._grow(len(self._position))
            row = positions[series_of_row.to_numpy()]
            row_of_bucket = np.repeat(row, np.diff(sketches.offsets))
            explicit = _EXPLICIT[sketches.bucket_index - LOWEST_INDEX]
            cells = self._cells.reshape(-1)  # a view
            np.add.at(cells, row_of_bucket * _CELLS + explicit, sketches.bucket_count)
            np.add.at(cells, row * _CELLS, sketches.zero_count)
            np.add.at(self._sum_ms, row, partials["sum_ns"].to_numpy() / _NS_PER_MS)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the names are known from `collect`, and registering must not scrape."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        self._refresh()
        calls = CounterMetricFamily("traces_span_metrics_calls", "Spans", labels=LABELS)
        durations = HistogramMetricFamily(
            "traces_span_metrics_duration_milliseconds", "Duration of spans", labels=LABELS
        )
        with self._lock:
            keys = list(self._position)
            cumulative = np.cumsum(self._cells, axis=1).tolist()
            sums = self._sum_ms.tolist()
        for key, counts, total in zip(keys, cumulative, sums, strict=True):
            labels = _labels(key)
            calls.add_metric(labels, counts[-1])
            durations.add_metric(labels, list(zip(_LE, counts, strict=True)), total)
        yield calls
        yield durations
        yield from self._own_metrics()

    def _own_metrics(self) -> Iterable[Metric]:
        series = GaugeMetricFamily("spanward_percentiles_series", "Operations told apart", labels=["tenant"])
        for tenant, number in self._limit.counts().items():
            series.add_metric([tenant], number)
        yield series
        yield CounterMetricFamily(
            "spanward_percentiles_overflow_spans",
            "Spans counted as operation 'other' because max_series was reached",
            self._limit.overflow_spans,
        )

    def _grow(self, size: int) -> None:
        more = size - len(self._sum_ms)
        if more:
            self._cells = np.concatenate((self._cells, np.zeros((more, _CELLS), np.int64)))
            self._sum_ms = np.concatenate((self._sum_ms, np.zeros(more)))


def _labels(key: SeriesKey) -> tuple[str, str, str, str, str]:
    tenant, service, name, kind, status = key
    return service, name, f"SPAN_KIND_{kind.upper()}", f"STATUS_CODE_{status.upper()}", tenant
