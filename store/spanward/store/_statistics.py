"""Bounds of columns as Delta's log records them, computed from the Arrow data that goes into the file.

A bound may be wider than the data and never narrower: readers skip a file on its word.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

_MAX_CHARACTERS: Final = 32
_LAST_CHARACTER: Final = "\U0010ffff"


class Statistics:
    """The `stats` of an add action, from the content of a file, piece by piece."""

    def __init__(self, columns: Sequence[str]) -> None:
        """Args: `columns` get bounds; all others get none, not even a count of nulls."""
        self._rows = 0
        self._columns = {name: _Column() for name in columns}

    def add(self, rows: pa.Table) -> None:
        """Take a piece of the file into account."""
        self._rows += rows.num_rows
        for name, column in self._columns.items():
            column.add(rows.column(name))

    def json(self) -> str:
        """The document that the log has of the file."""
        bounds = {name: column.bounds() for name, column in self._columns.items()}
        known = {name: found for name, found in bounds.items() if found is not None}
        return json.dumps(
            {
                "numRecords": self._rows,
                "minValues": {name: low for name, (low, _) in known.items()},
                "maxValues": {name: high for name, (_, high) in known.items()},
                "nullCount": {name: column.nulls for name, column in self._columns.items()},
            }
        )


@dataclass(slots=True)
class _Column:
    """A column so far; the bounds are those of its type as Arrow has them, instants as microseconds."""

    nulls: int = 0
    low: Any = None
    high: Any = None
    ordered: bool = True
    instants: bool = False

    def add(self, column: pa.ChunkedArray) -> None:
        self.nulls += column.null_count
        if column.null_count == len(column):
            return
        self.instants = pa.types.is_timestamp(column.type)
        low, high = _min_max(column.cast(pa.int64()) if self.instants else column)
        if isinstance(low, float) and not _is_ordered(column, low, high):
            self.ordered = False
        self.low = low if self.low is None else min(self.low, low)
        self.high = high if self.high is None else max(self.high, high)

    def bounds(self) -> tuple[Any, Any] | None:
        low, high = self.low, self.high
        if low is None or not self.ordered:
            return None
        if self.instants:
            return _instant(low), _instant(high)
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
