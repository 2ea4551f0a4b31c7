"""Which rows have an attribute: over whole columns, with Python looking only at JSON that can contain the key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanward.processor.policy.span import AttributeValue
from spanward.store._matching import Wanted
from spanward.store.schema import PROMOTED_DOUBLES, PROMOTED_INTS, PROMOTED_STRINGS

Mask = np.ndarray[Any, np.dtype[np.bool_]]
Condition = Callable[[pa.RecordBatch], Mask]

_TYPED_MAPS: Final = ("attributes_str", "attributes_int", "attributes_double", "attributes_bool")


class AttributeSearch:
    """Looks for one attribute on span, scope, resource, events and links.

    Attributes:
        columns: what `mask` needs of a row.
    """

    def __init__(self, key: str, value: AttributeValue) -> None:
        self._key = key
        self._wanted = Wanted(value)
        self._promoted = _promoted_column(key)
        promoted = (self._promoted,) if self._promoted else ()
        self.columns: tuple[str, ...] = (
            *promoted, *_TYPED_MAPS, "attributes_json", "scope_attributes", "resource", "events", "links",
        )  # fmt: skip

    def mask(self, batch: pa.RecordBatch) -> Mask:
        """One boolean a row."""
        found = np.zeros(batch.num_rows, dtype=np.bool_)
        for part in self._parts(batch):
            found |= part
        return found

    def _parts(self, batch: pa.RecordBatch) -> Iterator[Mask]:
        if self._promoted:
            yield equal(batch.column(self._promoted), self._wanted)
        for name in _TYPED_MAPS:
            yield self._in_map(batch.column(name), lambda items: equal(items, self._wanted))
        yield self._in_map(batch.column("attributes_json"), lambda items: each(items, self._wanted.equals_json))
        yield in_objects(batch.column("scope_attributes"), self._key, self._wanted)
        yield in_objects(batch.column("resource"), self._key, self._wanted)
        for name in ("events", "links"):
            yield self._in_structs(batch.column(name))

    def _in_map(self, column: pa.Array, test: Callable[[pa.Array], Mask]) -> Mask:
        keys, items, rows = entries(column, column.keys, column.items)
        here = np.flatnonzero(equal(keys, Wanted(self._key)))
        hits = here[test(items.take(pa.array(here)))]
        return rows_mask(rows[hits], len(column))

    def _in_structs(self, column: pa.Array) -> Mask:
        attributes, _, rows = entries(column, column.values.field("attributes"), None)
        hits = np.flatnonzero(in_objects(attributes, self._key, self._wanted))
        return rows_mask(rows[hits], len(column))


class ResourceSearch:
    """Looks for one attribute on the resource only."""

    def __init__(self, key: str, value: AttributeValue) -> None:
        self.columns: tuple[str, ...] = ("resource",)
        self._key = key
        self._wanted = Wanted(value)

    def mask(self, batch: pa.RecordBatch) -> Mask:
        """One boolean a row."""
        return in_objects(batch.column("resource"), self._key, self._wanted)


class ColumnSearch:
    """Compares one text column; a null counts as ""."""

    def __init__(self, column: str, value: AttributeValue) -> None:
        self.columns: tuple[str, ...] = (column,)
        self._wanted = Wanted(value)

    def mask(self, batch: pa.RecordBatch) -> Mask:
        """One boolean a row."""
        return equal(pc.fill_null(batch.column(self.columns[0]), ""), self._wanted)


def _promoted_column(key: str) -> str | None:
    return PROMOTED_STRINGS.get(key) or PROMOTED_INTS.get(key) or PROMOTED_DOUBLES.get(key)


def equal(column: pa.Array, wanted: Wanted) -> Mask:
    """Of a column of strings, integers, doubles or booleans: which cells are the value; null is not."""
    value = _for_type(column.type, wanted)
    if value is None:
        return np.zeros(len(column), dtype=np.bool_)
    return _to_mask(_compare(column, value))


def _compare(column: pa.Array, value: Any) -> pa.Array:
    if value != value:  # noqa: PLR0124 - only NaN differs from itself
        return column.is_nan()
    return pc.call_function("equal", [column, pa.scalar(value, column.type)])


def _for_type(kind: pa.DataType, wanted: Wanted) -> Any:
    if pa.types.is_boolean(kind):
        return wanted.boolean
    if pa.types.is_integer(kind):
        return wanted.integer
    return wanted.double if pa.types.is_floating(kind) else wanted.text


def each(column: pa.Array, test: Callable[[str], bool]) -> Mask:
    """A Python test for every cell of a string column, run once per distinct text; null is no match."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    verdicts = [text is not None and test(text) for text in column.dictionary.to_pylist()]
    return _to_mask(pa.array(verdicts, pa.bool_()).take(column.indices))


def in_objects(column: pa.Array, key: str, wanted: Wanted) -> Mask:
    """Which cells of a column of JSON objects have the value under the key."""
    needle = _needle(key)
    return each(column, lambda text: needle in text and wanted.is_in(text, key))


def _needle(key: str) -> str:
    """What a JSON object that has the key contains for sure, however its writer escapes: "" where that is unclear."""
    quoted = json.dumps(key)
    return quoted if quoted == f'"{key}"' and "/" not in key else ""


def entries(column: pa.Array, first: pa.Array, second: pa.Array | None) -> tuple[pa.Array, Any, Any]:
    """The column's own items of one or two children, and for each item the row that it belongs to."""
    offsets = column.offsets.to_numpy()
    start, count = int(offsets[0]), int(offsets[-1] - offsets[0])
    rows = np.repeat(np.arange(len(column)), np.diff(offsets))
    return first.slice(start, count), None if second is None else second.slice(start, count), rows


def rows_mask(rows: Any, count: int) -> Mask:
    mask = np.zeros(count, dtype=np.bool_)
    mask[rows] = True
    return mask


def _to_mask(matches: pa.Array) -> Mask:
    mask: Mask = pc.fill_null(matches, False).to_numpy(zero_copy_only=False)
    return mask
