"""Rows as lines of JSON, and back, without loss.

One object a row, one key a column. Times and days are ISO 8601 in UTC, maps are objects, lists are arrays; what JSON
has no word for (NaN, keys that start with `@`) is written as `spanward.store.values` writes it. Columns that hold JSON
stay text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from spanward.store._lists import nested, values
from spanward.store.values import dumps, loads


def row_lines(table: pa.Table | pa.RecordBatch) -> Iterator[str]:
    """Each row of a table, whatever its schema, as one line without its end."""
    batches = [table] if isinstance(table, pa.RecordBatch) else table.to_batches()
    for batch in batches:
        columns = [_cells(column) for column in batch.columns]
        for row in zip(*columns, strict=True):
            yield dumps(dict(zip(batch.schema.names, row, strict=True)))


def rows_of(lines: Sequence[str], schema: pa.Schema) -> pa.RecordBatch:
    """The inverse of `row_lines`, given the schema; a column that a line lacks is null, where it may be.

    Raises:
        ValueError: a line is not an object of the schema's columns, or a value not of its column's type.
    """
    rows = [_row(line, schema) for line in lines]
    arrays = [_array([row.get(field.name) for row in rows], field) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _cells(array: pa.Array) -> list[Any]:
    """The cells as `dumps` takes them."""
    kind = array.type
    if pa.types.is_temporal(kind):
        return values(array.cast(pa.string()))
    if pa.types.is_map(kind):
        entries = nested(array)
        keys, items = entries.children["key"], entries.children["value"]
        found: list[Any] = [{keys[i]: items[i] for i in positions} for positions in entries]
    elif pa.types.is_list(kind):
        found = _lists(array)
    else:
        return values(array)
    nulls = values(array.is_null()) if array.null_count else []
    return [None if null else cell for null, cell in zip(nulls, found, strict=True)] if nulls else found


def _lists(array: pa.Array) -> list[Any]:
    entries = nested(array)
    names = list(entries.children)
    if not pa.types.is_struct(array.type.value_type):
        items: list[Any] = entries.children["item"]
    else:
        items = [dict(zip(names, cells, strict=True)) for cells in zip(*entries.children.values(), strict=True)]
    return [[items[i] for i in positions] for positions in entries]


def _row(line: str, schema: pa.Schema) -> dict[str, Any]:
    row = loads(line)
    if not isinstance(row, dict):
        raise ValueError("a line is not a JSON object")  # noqa: TRY004 - bad text, not a bad call
    unknown = row.keys() - set(schema.names)
    if unknown:
        raise ValueError(f"there is no column {min(unknown)!r}")
    return row


def _array(cells: list[Any], field: pa.Field) -> pa.Array:
    try:
        array = _convert(cells, field.type)
    except (pa.ArrowException, TypeError, AttributeError, OverflowError, UnicodeEncodeError) as error:
        raise ValueError(f"{field.name}: a value is not of type {field.type}: {error}") from error
    if array.null_count and not field.nullable:
        raise ValueError(f"{field.name}: a value is missing")
    return array


def _convert(cells: list[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_temporal(kind):
        return pa.array(cells, pa.string()).cast(kind)
    if pa.types.is_map(kind):
        return pa.array([None if cell is None else list(cell.items()) for cell in cells], kind)
    return pa.array(cells, kind)
