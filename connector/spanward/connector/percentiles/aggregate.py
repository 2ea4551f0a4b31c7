"""Spans to partial sketches, and partials to fewer partials: a whole batch at a time.

A table of partials has one row a sketch with the key columns `SERIES` and `minute` and the sketch columns of
`spanward.store.schema.PERCENTILES`. Partials add up: merging those of two halves gives those of the whole. Counts are
exact; `sum_ns` is a double, exact below 2**53 ns (104 days) and rounded beyond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanward.connector.percentiles.buckets import (
    HIGHEST_INDEX,
    LOWEST_INDEX,
    SCALE,
    Int64s,
    bucket_index,
)
from spanward.connector.percentiles.grouping import Groups, group_rows
from spanward.connector.percentiles.quantiles import SketchColumns
from spanward.connector.percentiles.sketch import check_scale
from spanward.store.schema import PERCENTILES

SERIES: Final = ("tenant", "service_name", "name", "kind", "status_code")
"""What tells one operation's sketches from another's."""

KEYS: Final = (*SERIES, "minute")

SPAN_COLUMNS: Final = (*SERIES, "start_unix_nano", "duration_ns")
"""What is needed of a span."""

_SKETCH: Final = ("scale", "count", "sum_ns", "min_ns", "max_ns", "zero_count", "bucket_index", "bucket_count")
PARTIALS: Final = pa.schema([PERCENTILES.field(name) for name in (*KEYS, *_SKETCH)])

MINUTE_NS: Final = 60_000_000_000
_CELLS: Final = HIGHEST_INDEX - LOWEST_INDEX + 1


def aggregate(spans: pa.Table) -> pa.Table:
    """The partials of spans (columns `SPAN_COLUMNS`): one for each series and minute of span end."""
    duration = _integers(spans["duration_ns"])
    end = _integers(spans["start_unix_nano"]) + duration
    keys = {name: spans[name] for name in SERIES}
    keys["service_name"] = pc.fill_null(keys["service_name"], "")
    keys["minute"] = pa.array(end // MINUTE_NS * (MINUTE_NS // 1000), pa.timestamp("us", tz="UTC"))
    groups = group_rows(list(keys.values()), spans.num_rows)
    positive = duration > 0
    cells = groups.of_row[positive] * _CELLS + (bucket_index(duration[positive]) - LOWEST_INDEX)
    distinct, counts = np.unique(cells, return_counts=True)
    return _partials(
        groups,
        keys,
        count=np.ones(len(duration), np.int64),
        sum_ns=duration,
        min_ns=duration,
        max_ns=duration,
        zero_count=(~positive).astype(np.int64),
        buckets=(distinct // _CELLS, distinct % _CELLS + LOWEST_INDEX, counts.astype(np.int64)),
    )


def merge(partials: pa.Table, by: Sequence[str] = KEYS) -> pa.Table:
    """Partials with the same values in the columns `by` made one; the result has these and the sketch columns.

    Raises:
        StoreError: a partial was written at another scale.
    """
    for scale in partials["scale"].unique().to_pylist():
        check_scale(scale)
    keys = {name: partials[name] for name in by}
    groups = group_rows(list(keys.values()), partials.num_rows)
    columns = sketch_columns(partials)
    row_of_bucket = np.repeat(np.arange(partials.num_rows), np.diff(columns.offsets))
    cells = groups.of_row[row_of_bucket] * _CELLS + (columns.bucket_index - LOWEST_INDEX)
    distinct, place = np.unique(cells, return_inverse=True)
    return _partials(
        groups,
        keys,
        count=columns.count,
        sum_ns=partials["sum_ns"].to_numpy(),
        min_ns=columns.min_ns,
        max_ns=columns.max_ns,
        zero_count=columns.zero_count,
        buckets=(
            distinct // _CELLS,
            distinct % _CELLS + LOWEST_INDEX,
            _add(place, columns.bucket_count, len(distinct)),
        ),
    )


def sketch_columns(partials: pa.Table) -> SketchColumns:
    """The sketches of partials as NumPy arrays."""
    index, counts = (_one(partials[name]) for name in ("bucket_index", "bucket_count"))
    lengths = index.value_lengths().to_numpy(zero_copy_only=False)
    return SketchColumns(
        count=_integers(partials["count"]),
        zero_count=_integers(partials["zero_count"]),
        min_ns=_integers(partials["min_ns"]),
        max_ns=_integers(partials["max_ns"]),
        offsets=np.concatenate(([0], np.cumsum(lengths))).astype(np.int64),
        bucket_index=index.flatten().to_numpy().astype(np.int64),
        bucket_count=counts.flatten().to_numpy().astype(np.int64),
    )


def _partials(
    groups: Groups,
    keys: dict[str, Any],
    *,
    count: Int64s,
    sum_ns: Any,
    min_ns: Int64s,
    max_ns: Int64s,
    zero_count: Int64s,
    buckets: tuple[Int64s, Int64s, Int64s],
) -> pa.Table:
    """One row a group; `buckets` is (group, index, count) of each bucket, in that order."""
    least, most = np.full(groups.size, np.iinfo(np.int64).max), np.full(groups.size, np.iinfo(np.int64).min)
    np.minimum.at(least, groups.of_row, min_ns)
    np.maximum.at(most, groups.of_row, max_ns)
    group, index, bucket_count = buckets
    offsets = pa.array(np.searchsorted(group, np.arange(groups.size + 1)).astype(np.int32))
    some_row = pa.array(groups.some_row)
    columns = [*(_one(column.take(some_row)) for column in keys.values())]
    columns += [
        pa.array(np.full(groups.size, SCALE, np.int32)),
        pa.array(_add(groups.of_row, count, groups.size)),
        pa.array(np.bincount(groups.of_row, weights=sum_ns, minlength=groups.size)),
        pa.array(least),
        pa.array(most),
        pa.array(_add(groups.of_row, zero_count, groups.size)),
        pa.ListArray.from_arrays(offsets, pa.array(index.astype(np.int32))),
        pa.ListArray.from_arrays(offsets, pa.array(bucket_count)),
    ]
    schema = pa.schema([PARTIALS.field(name) for name in (*keys, *_SKETCH)])
    return pa.table(columns, schema=schema)


def _add(place: Int64s, amounts: Int64s, size: int) -> Int64s:
    total = np.zeros(size, np.int64)
    np.add.at(total, place, amounts)
    return total


def _integers(column: Any) -> Int64s:
    integers: Int64s = column.to_numpy()
    return integers


def _one(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
