"""The files that a version of a table names, and what is known of their rows without opening them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.dataset as ds
from deltalake import DeltaTable

from spanward.store._tables import TableSpec
from spanward.store.parquet import all_of, partition_name

_GUARANTEED: Final = ("tenant", "trace_id", "start_time", "start_unix_nano", "minute")
"""Columns by whose bounds files are skipped: more would cost more to compare than they save."""


@dataclass(frozen=True, slots=True)
class LakeFile:
    """A file that a table version names.

    Attributes:
        path: relative to the table's folder.
        partition: column -> value, as text.
        bytes, rows: its size.
        guarantee: what is true of all its rows, for Arrow to skip it by; it also gives the partition columns' values.
    """

    path: str
    partition: Mapping[str, str]
    bytes: int
    rows: int
    guarantee: ds.Expression

    @property
    def partition_name(self) -> str:
        """The folder it lies in."""
        return partition_name(self.partition)


def list_files(table: DeltaTable, spec: TableSpec, known: Mapping[str, LakeFile]) -> dict[str, LakeFile]:
    """The files of the table's version by path; those in `known` are taken from there."""
    actions = pa.table(table.get_add_actions(flatten=True))
    paths = map(unquote, actions.column("path").to_pylist())
    return {path: known.get(path) or _lake_file(path, actions, row, spec) for row, path in enumerate(paths)}


def _lake_file(path: str, actions: pa.Table, row: int, spec: TableSpec) -> LakeFile:
    values = {name: actions.column(name)[row] for name in actions.schema.names}
    partition = {column: values[f"partition.{column}"] for column in spec.partition_by}
    return LakeFile(
        path=path,
        partition={column: str(value.as_py()) for column, value in partition.items()},
        bytes=values["size_bytes"].as_py(),
        rows=values["num_records"].as_py() or 0,
        guarantee=_guarantee(partition, values),
    )


def _guarantee(partition: Mapping[str, pa.Scalar], values: Mapping[str, pa.Scalar]) -> ds.Expression:
    conditions = [ds.field(column) == value for column, value in partition.items()]
    for column in _GUARANTEED:
        low, high = values.get(f"min.{column}"), values.get(f"max.{column}")
        if low is not None and high is not None and low.is_valid and high.is_valid:
            conditions += [ds.field(column) >= low, ds.field(column) <= high]
    return all_of(conditions)
