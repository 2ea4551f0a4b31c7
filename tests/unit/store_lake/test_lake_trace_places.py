"""Finding whole traces without reading what does not have them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from spanward.store import _trace_places, delta, snapshot
from spanward.store._encryption import PartitionCipher
from spanward.store._tables import TableSpec
from spanward.store._trace_places import Places, TracePlaces, read_places
from spanward.store.batch import Batch, Signal
from spanward.store.clock import ManualClock
from spanward.store.compaction import CompactionSettings
from spanward.store.errors import KeyringError, StoreError
from spanward.store.parquet import FileForm, NewFile, WrittenFile, write_file
from spanward.store.retention import RetentionSettings
from spanward.store.rows import build_rows
from spanward.store.span_store import SpanStore
from tests.unit.store_lake.support import NOW_NS, batch, parquet_files, span

GROUP = 4


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of few rows have several row groups."""

    def write(folder: Path, file: NewFile, spec: TableSpec, cipher: PartitionCipher, form: FileForm) -> WrittenFile:
        return write_file(folder, file, spec, cipher, replace(form, row_group=GROUP))

    monkeypatch.setattr(delta, "write_file", write)


@pytest.fixture
def groups_read(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """(name of a file, its row groups) for all that datasets are read of."""
    noted: list[tuple[str, list[int]]] = []
    real = snapshot.read

    def noting(dataset: ds.Dataset, *arguments: Any) -> pa.Table:
        noted.extend(
            (Path(part.path).name, [group.id for group in part.row_groups]) for part in dataset.get_fragments()
        )
        return real(dataset, *arguments)

    monkeypatch.setattr(snapshot, "read", noting)
    return noted


@pytest.fixture
def files_looked_into(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose ids were read."""
    noted: list[str] = []

    def noting(path: Path) -> Places:
        noted.append(path.name)
        return read_places(path)

    monkeypatch.setattr(_trace_places, "read_places", noting)
    return noted


def trace_id(number: int) -> str:
    return f"{number:032x}"


def add(store: SpanStore, sequence: int, traces: Iterable[int], *, tenant: str = "default", hot: bool = False) -> None:
    """A log record with a span of each trace, in a file of its own."""
    records = [span(sequence * 1000 + at, trace_id=trace_id(trace)) for at, trace in enumerate(traces)]
    store.append(Batch(Signal.TRACES, build_rows(records, tenant=tenant, received_at_ns=NOW_NS), sequence))
    if not hot:
        store.commit()


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: row["span_id"])


def assert_finds(store: SpanStore, traces: Sequence[int], tenant: str | None = "default") -> None:
    """The rows of the traces are those that a scan of everything finds, of the same types."""
    ids = [trace_id(trace) for trace in traces]
    rows = store.snapshot(tenant)
    found, expected = rows.of_traces(ids), rows.to_table(filter=pc.field("trace_id").isin(pa.array(ids, pa.string())))
    assert found.schema.equals(expected.schema)
    assert rows_of(found) == rows_of(expected)


def test_whole_traces_are_what_a_scan_finds(store: SpanStore, data: Path, clock: ManualClock) -> None:
    """Traces over several files, row groups, tenants and memory: all their rows, before and after a merge.

    So does a store that only reads, in the place of another process.
    """
    add(store, 1, [1, 2, 3, 4, 5, 1, 6, 7, 1])
    add(store, 2, [1, 2], tenant="acme")
    add(store, 3, [9, 8, 7, 6, 5, 4, 3, 2, 1])
    reader = SpanStore.open(data, clock=clock, read_only=True)
    for merged in (False, True):
        if merged:
            assert store.compact(CompactionSettings(min_files=2)).files_before == 3
        for held in (store, reader):
            for traces in ([], [1], [2, 9], [99], list(range(12))):
                for tenant in ("default", "acme", "nobody", None):
                    assert_finds(held, traces, tenant)
    reader.close()
    add(store, 4, [1, 20, 2], hot=True)
    add(store, 5, [21], hot=True)
    for traces in ([1], [20, 21], [9], []):
        assert_finds(store, traces)
    found = store.snapshot().of_traces([trace_id(1)], columns=("name", "resource"))
    assert (found.column_names, found.num_rows) == (["name", "resource"], 5)


def test_only_row_groups_with_the_trace_are_read(store: SpanStore, groups_read: list[tuple[str, list[int]]]) -> None:
    """A trace lies in two row groups of one file out of two: nothing else is read."""
    add(store, 1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 1])
    (name,) = (path.name for path in parquet_files(store))
    add(store, 2, range(20, 32))
    assert store.snapshot().of_traces([trace_id(1)]).num_rows == 2
    assert groups_read == [(name, [0, 2])]
    assert store.snapshot().of_traces([trace_id(5), trace_id(99)]).num_rows == 1
    assert groups_read[1:] == [(name, [1])]


def test_ids_are_read_once_a_file(store: SpanStore, files_looked_into: list[str]) -> None:
    """Trace after trace is asked for: each file is looked into once, new ones when they come."""
    add(store, 1, [1, 2])
    add(store, 2, [2, 3])
    for trace in (1, 2, 3, 99, 1):
        assert_finds(store, [trace])
    assert sorted(files_looked_into) == [path.name for path in parquet_files(store)]
    add(store, 3, [1])
    assert_finds(store, [1])
    assert len(files_looked_into) == 3


def test_files_that_left_the_table_are_forgotten(store: SpanStore, clock: ManualClock) -> None:
    """Files are merged, then expire: what was known of them takes no room any more."""
    for sequence in (1, 2, 3):
        add(store, sequence, range(sequence, sequence + 5))
    assert_finds(store, [3])
    places = store._places
    assert (len(places._known), places.bytes) == (3, 3 * 5 * 8)
    store.compact(CompactionSettings(min_files=2))
    store.retention(RetentionSettings(reader_grace_seconds=0)).run()
    assert_finds(store, [3])
    (merged,) = store._spans.files()
    assert list(places._known) == [merged]
    clock.advance(days=31)
    assert store.snapshot().of_traces([trace_id(3)]).num_rows == 0
    assert (places._known, places.bytes) == ({}, 0)


def test_what_is_kept_is_bounded(store: SpanStore, files_looked_into: list[str]) -> None:
    """There is room for two of three files: traces of all are found, only the third is looked into each time."""
    places = store._places = TracePlaces(store._spans.folder, max_bytes=2 * 5 * 8)
    for sequence in (1, 2, 3):
        add(store, sequence, range(sequence, sequence + 5))
    for trace in (1, 3, 7, 99):
        assert_finds(store, [trace])
        assert places.bytes == 2 * 5 * 8
    counts = sorted(files_looked_into.count(path.name) for path in parquet_files(store))
    assert counts == [1, 1, 4]


def test_ids_of_one_hash_are_told_apart(
    store: SpanStore, groups_read: list[tuple[str, list[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All ids have the same hash, the largest there is: everything is read, and only what was asked for is found."""
    monkeypatch.setattr(_trace_places, "_hashes", lambda ids: np.full(len(ids), 0xFFFF_FFFF, np.uint64))
    add(store, 1, range(1, 11))
    assert store.snapshot().of_traces([trace_id(3)])["trace_id"].to_pylist() == [trace_id(3)]
    assert [groups for _, groups in groups_read] == [[0, 1, 2]]
    assert store.snapshot().of_traces([trace_id(99)]).num_rows == 0


def test_a_destroyed_key_hides_its_own_traces_only(store: SpanStore) -> None:
    """One partition's key is gone: its traces are refused, and those that lie elsewhere are whole."""
    gone, kept = batch(1, retention="7d"), batch(2)
    for one in (gone, kept):
        store.append(one)
        store.commit()
    store.keyring.destroy("date=2026-01-01/retention=7d/classification=internal")
    lost, whole = (one.rows.column("trace_id").to_pylist() for one in (gone, kept))
    assert store.snapshot().of_traces(whole).num_rows == 3
    with pytest.raises(KeyringError):
        store.snapshot().of_traces(lost)


def test_vanished_file_is_an_error_of_ours(store: SpanStore) -> None:
    """Somebody removed a file of the lake, before or after its ids were read: one line that says what to do."""
    add(store, 1, [1])
    assert_finds(store, [1])
    add(store, 2, [2])
    for path in parquet_files(store):
        path.unlink()
    with pytest.raises(StoreError, match="the lake cannot be read"):
        store.snapshot().of_traces([trace_id(2)])
    with pytest.raises(StoreError, match="the lake cannot be read"):
        store.snapshot().of_traces([trace_id(1)])


def test_row_groups_of_a_fresh_file_are_about_equal(store: SpanStore) -> None:
    """Five rows do not fit into a row group of four: there are two, and the second is no small rest."""
    add(store, 1, range(5))
    (path,) = parquet_files(store)
    metadata = pq.ParquetFile(path).metadata
    assert [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)] == [3, 2]
