"""A span's attributes, spread over their columns: promoted ones first, the rest into one map per type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa

from spanward.store.schema import PROMOTED_DOUBLES, PROMOTED_INTS, PROMOTED_STRINGS, SPANS
from spanward.store.text import string_array
from spanward.store.values import dumps

_INT64_MIN: Final = -(1 << 63)
_INT64_MAX: Final = (1 << 63) - 1
_GROUPS: Final[tuple[tuple[str, Mapping[str, str]], ...]] = (
    ("attributes_str", PROMOTED_STRINGS),
    ("attributes_int", PROMOTED_INTS),
    ("attributes_double", PROMOTED_DOUBLES),
    ("attributes_bool", {}),
    ("attributes_json", {}),
)


def attribute_columns(spans: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """The promoted columns and the five `attributes_*` maps, one row for each mapping.

    The type decides: a promoted key whose value has another type than its column goes to the map of that type. An
    integer beyond 64 bits, which OTLP cannot express, is kept as its digits.
    """
    groups = tuple(_Typed(name, promoted, len(spans)) for name, promoted in _GROUPS)
    by_type = dict(zip((str, int, float, bool), (group.put for group in groups), strict=False))
    for row, attributes in enumerate(spans):
        for key, value in attributes.items():
            kind = type(value)
            put = by_type.get(kind)
            if put is None or (kind is int and not _INT64_MIN <= value <= _INT64_MAX):
                _put_other(row, key, value, groups)
            else:
                put(row, key, value)
        for group in groups:
            group.end_row()
    return {name: array for group in groups for name, array in group.arrays()}


def _put_other(row: int, key: str, value: Any, groups: tuple[_Typed, ...]) -> None:
    """Place what is not exactly one of the four plain types: subclasses, huge integers, and everything nested."""
    strings, ints, doubles, bools, others = groups
    match value:
        case str():
            strings.put(row, key, str.__str__(value))
        case bool():
            bools.put(row, key, value)
        case int() if _INT64_MIN <= value <= _INT64_MAX:
            ints.put(row, key, int(value))
        case int():
            strings.put(row, key, str(int(value)))
        case float():
            doubles.put(row, key, float(value))
        case _:
            others.put(row, key, dumps(value))


class _Typed:
    """The values of one type: promoted columns by key, and what remains as the parts of a map array."""

    __slots__ = ("_columns", "_count", "_ends", "_keys", "_map", "_promoted", "_values")

    def __init__(self, name: str, promoted: Mapping[str, str], count: int) -> None:
        self._map = name
        self._promoted = promoted
        self._count = count
        self._columns: dict[str, list[Any]] = {}
        self._keys: list[str] = []
        self._values: list[Any] = []
        self._ends: list[int] = [0]

    def put(self, row: int, key: str, value: Any) -> None:
        if key in self._promoted:
            column = self._columns.get(key)
            if column is None:
                column = self._columns[key] = [None] * self._count
            column[row] = value
        else:
            self._keys.append(key)
            self._values.append(value)

    def end_row(self) -> None:
        self._ends.append(len(self._keys))

    def arrays(self) -> Iterator[tuple[str, pa.Array]]:
        kind = SPANS.field(self._map).type
        items = _array(self._values, kind.item_type)
        yield (
            self._map,
            pa.MapArray.from_arrays(pa.array(self._ends, pa.int32()), string_array(self._keys), items, kind),
        )
        for key, column in self._promoted.items():
            kind = SPANS.field(column).type
            values = self._columns.get(key)
            yield column, pa.nulls(self._count, kind) if values is None else _array(values, kind)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    return string_array(values) if kind == pa.string() else pa.array(values, kind)
