"""Arrow columns as Python lists, a whole column at a time.

`to_pylist` makes a pyarrow scalar of each cell, which costs more than everything that is done with the value after; the
ways taken here stay inside Arrow and NumPy. Slices are honoured: only the rows of the slice are converted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


def values(array: pa.Array) -> list[Any]:
    """The cells in order, None for null."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count and not pa.types.is_string(array.type):
        return list(array.to_pylist())  # NumPy has no null for numbers
    return list(array.to_numpy(zero_copy_only=False).tolist())


def texts(array: pa.Array) -> list[str]:
    """The cells of a string column, "" for null."""
    return [text or "" for text in values(array)]


def present(array: pa.Array) -> Iterator[tuple[int, Any]]:
    """(row, value) of each cell that is not null; next to nothing for a column that is all null."""
    if array.null_count == len(array):
        return iter(())
    rows = values(pc.call_function("indices_nonzero", [array.is_valid()]))
    return zip(rows, values(array.drop_null()), strict=True)


@dataclass(frozen=True, slots=True)
class Nested:
    """A list or map column: row `i` has the items `bounds[i]:bounds[i + 1]` of each child."""

    bounds: list[int]
    children: dict[str, list[Any]]

    def __iter__(self) -> Iterator[range]:
        """Of each row, the positions of its items; none for a null."""
        return map(range, self.bounds, self.bounds[1:])


def nested(array: pa.Array) -> Nested:
    """Flatten a map (children `key`, `value`), a list of structs (by field) or a plain list (`item`)."""
    offsets = values(array.offsets)
    first, count = offsets[0], offsets[-1] - offsets[0]
    return Nested(
        [offset - first for offset in offsets],
        {name: values(child.slice(first, count)) for name, child in _children(array)},
    )


def _children(array: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    if pa.types.is_map(array.type):
        yield "key", array.keys
        yield "value", array.items
    elif pa.types.is_struct(array.type.value_type):
        for name in array.type.value_type.names:
            yield name, array.values.field(name)
    else:
        yield "item", array.values
