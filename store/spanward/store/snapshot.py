"""Spans as of one moment: a version of the table, and the hot rows that it does not hold yet.

Columns and types are those of `spanward.store.schema.SPANS`, but `resource` is a plain string: a file has no
dictionary that would outlive it. What has expired is left out, whether or not its files are gone already.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyarrow import fs

from spanward.processor.policy.labels import Retention
from spanward.store._encryption import scan_left_early
from spanward.store._lake_file import LakeFile
from spanward.store._tables import SPANS_TABLE
from spanward.store._trace_places import TracePlaces
from spanward.store.chunks import joined
from spanward.store.delta import LakeTable
from spanward.store.errors import SpanwardError, StoreError
from spanward.store.hot import HotRows
from spanward.store.schema import SPANS


class Snapshot:
    """Never changes, whatever is written meanwhile. Its files stay readable for the reader grace of the retention.

    Attributes:
        version: of the Delta table.
        sequence: the last record of the log that this version holds; the rows of later ones come from memory.
        tenant: whose spans these are; None for everybody's.
    """

    def __init__(
        self,
        table: LakeTable,
        files: Iterable[LakeFile],
        hot: Sequence[HotRows],
        places: TracePlaces,
        *,
        version: int,
        sequence: int,
        tenant: str | None,
        today: dt.date,
    ) -> None:
        self.version = version
        self.sequence = sequence
        self.tenant = tenant
        self._table = table
        self._today = today
        self._files = [file for file in files if not is_expired(file, today)]
        self._hot = hot
        self._places = places

    def dataset(self) -> ds.Dataset:
        """One dataset over files and hot rows, for scanning with projection and filter (also by DuckDB).

        Files are skipped by partition, tenant, trace id and start time; payload columns are decrypted only where they
        are asked for. Scanning raises KeyringError where a key was destroyed.
        """
        return self._dataset

    def to_table(self, *, columns: Sequence[str] | None = None, filter: pc.Expression | None = None) -> pa.Table:  # noqa: A002 - Arrow's own name for it
        """The rows for which the Arrow expression holds, in no particular order.

        Args:
            columns: names of `SPANS`; None for all.
            filter: rows to keep; None for all.

        Raises:
            KeyringError: a payload column was asked for whose key was destroyed or belongs to another keyring.
            StoreError: a file cannot be read.
        """
        return read(self._dataset, _names(columns), filter)

    def of_traces(self, trace_ids: Sequence[str], *, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of some traces, in no particular order; of the files, only row groups that have them are read.

        Args:
            trace_ids: as the column has them.
            columns: names of `SPANS`; None for all.

        Raises:
            KeyringError: a payload column was asked for whose key was destroyed or belongs to another keyring.
            StoreError: a file cannot be read.
        """
        names, ids = _names(columns), pa.array(trace_ids, pa.string())
        condition = pc.field("trace_id").isin(ids)
        if self.tenant is not None:
            condition = condition & (pc.field("tenant") == self.tenant)
        stored = read(_dataset_of(self._places.find(self._files, trace_ids), self._table), names, condition)
        hot = live_rows((entry for entry in self._hot if _has_any(entry.rows, ids)), self._today).filter(condition)
        return pa.concat_tables([stored, hot.select(names).cast(stored.schema)])

    def count_rows(self) -> int:
        """How many spans there are."""
        return int(self._dataset.count_rows())

    @cached_property
    def _dataset(self) -> ds.Dataset:
        parts = [files_dataset(self._files, self._table), ds.dataset(hot_table(self._hot, None, self._today))]
        whole = ds.dataset(parts)
        return whole if self.tenant is None else whole.filter(ds.field("tenant") == self.tenant)


def is_expired(file: LakeFile, today: dt.date) -> bool:
    """Whether no row of a file may be shown any more."""
    expires_on = expiry(file.partition)
    return expires_on is not None and expires_on <= today


def expiry(partition: Any) -> dt.date | None:
    """The first UTC day on which the rows of a partition must be gone; None for never.

    Raises:
        StoreError: the partition's retention is none.
    """
    if "retention" not in partition:
        return None
    try:
        return Retention.parse(partition["retention"]).expires_on(dt.date.fromisoformat(partition["date"]))
    except ValueError as error:
        raise StoreError(
            f"partition {dict(partition)} has no valid retention: {error}; rewrite it with a valid one"
        ) from error


def files_dataset(files: Iterable[LakeFile], table: LakeTable) -> ds.Dataset:
    """The given files of a table, decrypting, with the partition columns in their place."""
    return _dataset_of(((file, None) for file in files), table)


def _dataset_of(places: Iterable[tuple[LakeFile, Sequence[int] | None]], table: LakeTable) -> ds.Dataset:
    """Row groups of files, None for all of them."""
    file_format = table.cipher.file_format()
    filesystem = fs.LocalFileSystem()
    fragments = [
        file_format.make_fragment(f"{table.folder}/{file.path}", filesystem, file.guarantee, groups)
        for file, groups in places
    ]
    return ds.FileSystemDataset(fragments, table.spec.schema, file_format, filesystem)


def _names(columns: Sequence[str] | None) -> list[str]:
    return SPANS_TABLE.schema.names if columns is None else list(columns)


def _has_any(rows: pa.RecordBatch, trace_ids: pa.Array) -> bool:
    found = pc.call_function("is_in", [rows.column("trace_id")], pc.SetLookupOptions(trace_ids))
    return bool(pc.call_function("any", [found]).as_py())


def hot_table(entries: Iterable[HotRows], tenant: str | None, today: dt.date) -> pa.Table:
    """Hot rows as a table of the lake's types, without what has expired."""
    rows = live_rows(entries, today)
    if tenant is not None:
        rows = rows.filter(pc.field("tenant") == tenant)
    return rows.cast(SPANS_TABLE.schema)


def live_rows(entries: Iterable[HotRows], today: dt.date) -> pa.Table:
    """Hot rows in the schema SPANS, without what has expired; large batches are not copied when nothing has."""
    rows = pa.Table.from_batches(joined(entry.rows for entry in entries), SPANS)
    first = pc.call_function("min", [rows["expires_on"]]).as_py()
    return rows if first is None or first > today else rows.filter(unexpired(today))


def unexpired(today: dt.date) -> pc.Expression:
    """The rows that may be shown on a day."""
    expires_on = pc.field("expires_on")
    return expires_on.is_null() | (expires_on > pa.scalar(today, pa.date32()))


def read(dataset: ds.Dataset, columns: Sequence[str], condition: pc.Expression | None) -> pa.Table:
    """Scan a dataset.

    Raises:
        KeyringError: a key is missing.
        StoreError: a file cannot be read.
    """
    try:
        return dataset.to_table(columns=list(columns), filter=condition)
    except SpanwardError:
        scan_left_early()
        raise
    except (OSError, pa.ArrowException) as error:
        scan_left_early()
        raise StoreError(f"the lake cannot be read: {error}; take a new snapshot, or restore the files") from error
