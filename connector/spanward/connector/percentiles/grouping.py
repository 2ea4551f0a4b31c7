"""Numbering the distinct combinations of several columns, as fast as hashing and counting allow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from spanward.connector.percentiles.buckets import Int64s

_COUNTING_LIMIT: Final = 1 << 20
"""Code spaces up to this size are compacted by counting, larger ones by sorting."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Rows by the combination of values they have in some columns.

    Attributes:
        of_row: the group of each row, 0..size-1.
        some_row: for each group, one of its rows.
    """

    of_row: Int64s
    some_row: Int64s

    @property
    def size(self) -> int:
        """How many groups there are."""
        return len(self.some_row)


def group_rows(columns: Sequence[Any], rows: int) -> Groups:
    """Group `rows` rows by the values (nulls are a value) of Arrow columns; without columns all rows are one group."""
    codes, size = np.zeros(rows, np.int64), min(rows, 1)
    for column in columns:
        more, cardinality = _codes(column)
        codes, size = _compact(codes * cardinality + more, size * cardinality)
    some_row = np.zeros(size, np.int64)
    some_row[codes] = np.arange(rows)
    return Groups(codes, some_row)


def _codes(column: Any) -> tuple[Int64s, int]:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    encoded = array.dictionary_encode(null_encoding="encode")
    return encoded.indices.to_numpy().astype(np.int64), max(len(encoded.dictionary), 1)


def _compact(codes: Int64s, size: int) -> tuple[Int64s, int]:
    """The same groups numbered without gaps; every product of the next step then fits: size <= rows."""
    if size > _COUNTING_LIMIT:
        distinct, compacted = np.unique(codes, return_inverse=True)
        return compacted.astype(np.int64), len(distinct)
    present = np.zeros(size, np.int64)
    present[codes] = 1
    numbers = np.cumsum(present) - 1
    return numbers[codes], int(numbers[-1]) + 1 if size else 0
