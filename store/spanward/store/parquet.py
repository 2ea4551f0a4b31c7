"""Rows to Parquet files: one file a partition, its payload encrypted."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spanward.processor.policy.labels import Classification
from spanward.store._durable import OWNER_ONLY_FILE, make_folder, sync_folder
from spanward.store._encryption import PartitionCipher
from spanward.store._statistics import Statistics
from spanward.store._tables import TableSpec

_BLOOM_DISTINCT: Final = 20_000
_BLOOM_COLUMN: Final = "trace_id"


@dataclass(frozen=True, slots=True)
class FileForm:
    """How the rows of a file are laid down.

    Attributes:
        row_group: rows of a row group at most; those of a piece are about equal.
        by_time: whether neighbours came at about the same time.
        text_level: how hard free text is compressed, in levels of zstd.
    """

    row_group: int
    by_time: bool
    text_level: int


_ROW_GROUP: Final = 20_000
"""What a trace by its id costs to read, at least; smaller ones cost more to write and take more room."""

APPENDED: Final = FileForm(row_group=_ROW_GROUP, by_time=True, text_level=1)
"""A file that takes part in a compaction soon: written as cheaply as can be."""

MERGED: Final = FileForm(row_group=_ROW_GROUP, by_time=False, text_level=3)
"""A file that stays: rows are sorted, so that those of a trace are in one row group, or two."""

_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is to be written, or was.

    Attributes:
        path: relative to the table's folder.
        partition: column -> value, as text.
        pieces: its content, without the partition columns; at least one piece, and no row group has rows of two. A
            dictionary is stored as the type of its values.
        empty: columns that are known to have no value in any row.
    """

    path: str
    partition: Mapping[str, str]
    pieces: Iterable[pa.Table]
    empty: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A durable file that no table version names yet.

    Attributes:
        path: relative to the table's folder.
        partition: column -> value, as text.
        bytes, rows: its size.
        statistics: the `stats` of its add action.
    """

    path: str
    partition: Mapping[str, str]
    bytes: int
    rows: int
    statistics: str


def partition_name(partition: Mapping[str, str]) -> str:
    """`date=…/retention=…/classification=…`: the folder of a partition's files and the name of its data key."""
    return "/".join(f"{column}={value}" for column, value in partition.items())


def plan_files(rows: pa.Table, spec: TableSpec) -> Iterator[NewFile]:
    """Split rows by partition, one file each, in the order they have; nothing is written.

    Args:
        rows: with the columns of the table; a column of strings may be a dictionary.
        spec: the table.
    """
    for partition, part in _partitions(_unified(rows), spec.partition_by):
        stored = part.select(spec.file_schema.names)
        empty = frozenset(name for name in stored.column_names if not _has_values(stored.column(name)))
        yield NewFile(new_path(partition), partition, [stored], empty)


def _unified(rows: pa.Table) -> pa.Table:
    """The rows with one dictionary a column, as Parquet has it: others would be written value by value.

    Column by column, for `Table.unify_dictionaries` goes through those that have none, too.
    """
    for position, column in enumerate(rows.schema):
        if pa.types.is_dictionary(column.type):
            rows = rows.set_column(position, column, rows.column(position).unify_dictionaries())
    return rows


def new_path(partition: Mapping[str, str]) -> str:
    """A name that no file has."""
    return f"{partition_name(partition)}/part-{uuid.uuid4().hex}.parquet"


def _partitions(rows: pa.Table, columns: tuple[str, ...]) -> Iterator[tuple[dict[str, str], pa.Table]]:
    combinations = rows.select(columns).group_by(list(columns)).aggregate([]).to_pylist()
    for values in combinations:
        partition = {column: str(values[column]) for column in columns}
        if len(combinations) == 1:
            yield partition, rows
        else:
            conditions = [
                pc.field(column) == pa.scalar(value, rows.schema.field(column).type) for column, value in values.items()
            ]
            yield partition, rows.filter(all_of(conditions))


def all_of(conditions: Sequence[pc.Expression]) -> pc.Expression:
    """The conjunction of at least one condition."""
    combined = conditions[0]
    for condition in conditions[1:]:
        combined = combined & condition
    return combined


def ordered(rows: pa.Table, spec: TableSpec) -> pa.Table:
    """Rows in the order of the table's merged files."""
    whole = rows.combine_chunks()  # taking from one chunk is several times as fast as from many
    return whole.sort_by([(column, "ascending") for column in spec.sort_by])


def write_file(folder: Path, file: NewFile, spec: TableSpec, cipher: PartitionCipher, form: FileForm) -> WrittenFile:
    """Write a file and make it durable.

    Raises:
        OSError: the disk refused; a part of the file may stand.
        KeyringError: the partition's key cannot be made.
    """
    path = folder / file.path
    make_folder(path.parent)
    pieces = iter(file.pieces)
    first = next(pieces)
    options = _writer_options(spec, form, file.empty)
    if is_encrypted(file.partition, spec):
        options["encryption_properties"] = cipher.encryption(partition_name(file.partition), spec.payload)
    elif _BLOOM_COLUMN in spec.schema.names:
        # Arrow cannot write a bloom filter into a file with encryption
        options["bloom_filter_options"] = {_BLOOM_COLUMN: {"ndv": min(_BLOOM_DISTINCT, max(first.num_rows, 1))}}
    statistics = Statistics(_recorded(spec))
    rows = 0
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY_FILE)
    with os.fdopen(descriptor, "wb") as out:
        with pq.ParquetWriter(out, first.schema, **options) as writer:
            for piece in chain([first], pieces):
                writer.write_table(piece, row_group_size=_even(piece.num_rows, form.row_group))
                statistics.add(piece)
                rows += piece.num_rows
        out.flush()
        os.fsync(out.fileno())
        size = os.fstat(out.fileno()).st_size
    sync_folder(path.parent)
    return WrittenFile(file.path, file.partition, size, rows, statistics.json())


def _even(rows: int, at_most: int) -> int:
    """How large to make row groups, so that there are as few as can be and none is a small rest."""
    groups = -(-rows // at_most)
    return -(-rows // groups) if groups else at_most


def is_encrypted(partition: Mapping[str, str], spec: TableSpec) -> bool:
    """Whether the payload of a partition's files is encrypted: in every class above PUBLIC."""
    return bool(spec.payload) and partition.get("classification") != Classification.PUBLIC.value


def _recorded(spec: TableSpec) -> tuple[str, ...]:
    stored = spec.file_schema.names
    return tuple(name for name in spec.statistics if name in stored and name not in spec.payload)


@cache
def _leaves_of(schema: pa.Schema) -> tuple[str, ...]:
    return tuple(_leaves(schema))


def _writer_options(spec: TableSpec, form: FileForm, empty: frozenset[str]) -> dict[str, Any]:
    leaves = _leaves_of(spec.file_schema)
    encodings = _encodings(spec, form)
    # a column of nulls, of which a file has dozens, is a few bytes: to set up a compressor or a dictionary costs more
    filled = [leaf for leaf in leaves if leaf.split(".", 1)[0] not in empty]
    return {
        "compression": dict.fromkeys(filled, "zstd"),
        "compression_level": {leaf: form.text_level if leaf in spec.text else _LEVEL for leaf in filled},
        "use_dictionary": [leaf for leaf in filled if leaf not in encodings],
        "column_encoding": {leaf: encodings[leaf] for leaf in leaves if leaf in encodings},
        "write_statistics": [name for name in spec.statistics if name in spec.file_schema.names],
        "store_schema": False,  # readers take the types from the table
    }


def _encodings(spec: TableSpec, form: FileForm) -> dict[str, str]:
    """How the leaves are encoded that get no dictionary."""
    return {
        **dict.fromkeys(spec.plain, "PLAIN"),
        **dict.fromkeys(spec.delta, "DELTA_BINARY_PACKED"),
        **dict.fromkeys(spec.times, "DELTA_BINARY_PACKED" if form.by_time else "PLAIN"),
        **dict.fromkeys(spec.lengths, "DELTA_LENGTH_BYTE_ARRAY"),
        **dict.fromkeys(spec.prefixes, "DELTA_BYTE_ARRAY"),
    }


def _has_values(column: pa.ChunkedArray) -> bool:
    """Whether any row has more than null or an empty list."""
    if pa.types.is_list(column.type) or pa.types.is_map(column.type):
        return any(len(chunk) and chunk.offsets[0] != chunk.offsets[-1] for chunk in column.chunks)
    return bool(column.null_count < len(column))


def _leaves(schema: pa.Schema) -> Iterator[str]:
    for field in schema:
        yield from _leaf_paths(field.name, field.type)


def _leaf_paths(path: str, kind: pa.DataType) -> Iterator[str]:
    """Parquet's own names of the columns inside nested ones."""
    if pa.types.is_map(kind):
        yield from _leaf_paths(f"{path}.key_value.key", kind.key_type)
        yield from _leaf_paths(f"{path}.key_value.value", kind.item_type)
    elif pa.types.is_list(kind):
        yield from _leaf_paths(f"{path}.list.element", kind.value_type)
    elif pa.types.is_struct(kind):
        for child in kind:
            yield from _leaf_paths(f"{path}.{child.name}", child.type)
    else:
        yield path
