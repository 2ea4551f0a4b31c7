"""Bounds of columns as Delta's log records them, computed from the Arrow data that goes into the file.

A bound may be wider than the data and never narrower: readers skip a file on its word.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_MAX_CHARACTERS: Final = 32
_LAST_CHARACTER: Final = "\U0010ffff"


def statistics_json(rows: pa.Table, columns: tuple[str, ...]) -> str:
    """The `stats` of an add action.

    Args:
        rows: the whole content of the file.
        columns: which of them get bounds; all others get none, not even a count of nulls.
    """
    lowest: dict[str, Any] = {}
    highest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for name in columns:
        column = rows.column(name)
        nulls[name] = column.null_count
        bounds = _bounds(column)
        if bounds is not None:
            lowest[name], highest[name] = bounds
    return json.dumps({"numRecords": rows.num_rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls})


def _bounds(column: pa.ChunkedArray) -> tuple[Any, Any] | None:
    if column.null_count == len(column):
        return None
    if pa.types.is_timestamp(column.type):
        first, last = _min_max(column.cast(pa.int64()))
        return _instant(first), _instant(last)
    low, high = _min_max(column)
    if isinstance(low, float):
        return (low, high) if _is_ordered(column, low, high) else None
    if isinstance(low, str):
        return lower_bound(low), upper_bound(high)
    if isinstance(low, dt.date):
        return low.isoformat(), high.isoformat()
    return low, high


def _min_max(column: pa.ChunkedArray) -> tuple[Any, Any]:
    found = pc.call_function("min_max", [column]).as_py()
    return found["min"], found["max"]


def _instant(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, 1_000_000)
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def _is_ordered(column: pa.ChunkedArray, low: float, high: float) -> bool:
    """NaN has no place in an order that all readers share, and JSON has no infinity: then there are no bounds."""
    has_nan = pc.call_function("any", [pc.call_function("is_nan", [column])]).as_py()
    return math.isfinite(low) and math.isfinite(high) and not has_nan


def lower_bound(text: str) -> str:
    """A text of bounded length that is not above `text` in UTF-8 order."""
    return text[:_MAX_CHARACTERS]


def upper_bound(text: str) -> str:
    """A text that is not below `text` in UTF-8 order, of bounded length when that is possible."""
    if len(text) <= _MAX_CHARACTERS:
        return text
    bound = text[:_MAX_CHARACTERS] + _LAST_CHARACTER
    return max(bound, text)
