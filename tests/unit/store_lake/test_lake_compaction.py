"""Compaction, alone and beside everything else that goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanward.store._lake_file import LakeFile
from spanward.store.clock import ManualClock
from spanward.store.compaction import CompactionSettings, compact, merges
from spanward.store.delta import LakeTable
from spanward.store.errors import RetryableError
from spanward.store.retention import RetentionSettings
from spanward.store.span_store import SpanStore
from tests.unit.store_lake.support import batch, ids_of, parquet_files, sketches, span_ids

PARTITION = "date=2026-01-01/retention=30d/classification=internal"


def fill(store: SpanStore, count: int, **options: Any) -> None:
    for number in range(1, count + 1):
        store.append(batch(number, **options))
        store.commit()


def test_conflict_leaves_the_table_as_it_was(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer wins against a merge: it is skipped, its file removed, and no old file is lost."""
    fill(store, 8)
    real = LakeTable.commit

    def refuse(self: LakeTable, staged: Any, **options: Any) -> None:
        if options.get("removes"):
            self.discard(staged)
            raise RetryableError("conflict")
        real(self, staged, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "commit", refuse)
        report = store.compact()
    assert (report.skipped, report.files_before) == (1, 0)
    assert len(parquet_files(store)) == 8
    store.retention(RetentionSettings(reader_grace_seconds=0)).run()
    assert span_ids(store) == ids_of(*(batch(number) for number in range(1, 9)))
    assert store.compact().files_before == 8


def test_files_removed_by_others_are_not_merged_back(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process merges the same files between our look and our commit: ours is skipped, no row shows twice."""
    fill(store, 8)
    real = LakeTable.stage

    def others_first(self: LakeTable, *args: Any, **options: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(LakeTable, "stage", real)
            compact(store._tables.values(), store.compliance, CompactionSettings(), now_ns=store.clock.now_ns)
        return real(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "stage", others_first)
        assert store.compact().skipped == 1
    assert span_ids(store) == ids_of(*(batch(number) for number in range(1, 9)))
    assert len(parquet_files(store)) == 9


def test_destroyed_key_is_skipped(store: SpanStore) -> None:
    """A partition that cannot be read any more is left alone, others are merged."""
    fill(store, 8)
    for number in range(9, 17):
        store.append(batch(number, retention="7d"))
        store.commit()
    store.keyring.destroy(PARTITION)
    report = store.compact()
    assert (report.skipped, report.files_before, report.rows) == (1, 8, 24)


def test_few_files_are_left_alone(store: SpanStore) -> None:
    """Below min_files there is no merge, and no new version."""
    fill(store, 7)
    version = store.snapshot().version
    assert store.compact().files_before == 0
    assert store.snapshot().version == version


def test_same_rows_in_one_sorted_file(store: SpanStore, clock: ManualClock) -> None:
    """Eight files become one, sorted, with the same rows and labels; old files go after the reader grace."""
    fill(store, 8)
    before = store.snapshot().to_table().sort_by("span_id").to_pylist()
    sequence = store.committed_sequence()
    report = store.compact()
    assert (report.files_before, report.files_after, report.rows, report.skipped) == (8, 1, 24, 0)
    assert report.bytes_after < report.bytes_before
    assert store.snapshot().to_table().sort_by("span_id").to_pylist() == before
    assert store.committed_sequence() == sequence
    assert len(parquet_files(store)) == 9
    clock.advance(seconds=600)
    assert store.retention().run().files_removed == 8
    (file,) = parquet_files(store)
    ids = pq.ParquetFile(file).read(columns=["trace_id"])["trace_id"].to_pylist()
    assert ids == sorted(ids)
    assert store.snapshot().to_table().num_rows == 24
    assert store.compliance.deletions() == []


def test_derived_tables_are_merged_too(store: SpanStore) -> None:
    """Percentiles are flushed every few seconds: their files are merged like those of spans."""
    for number in range(1, 9):
        store.append_table("percentiles", sketches(2, first=number, last=number), first=number, last=number)
    assert store.compact().files_after == 1
    assert store.read_table("percentiles", tenant=None).num_rows == 16
    assert store.table_committed("percentiles") == 8


def test_files_of_about_one_size_are_merged() -> None:
    """A steady load makes files that differ by a few bytes, each larger than the one before it: they are one merge."""
    files = [_file(str(number), (4 << 20) + number) for number in range(8)]
    assert [list(merge) for merge in merges(files, CompactionSettings(min_files=8))] == [files]


@settings(deadline=None)
@given(st.lists(st.integers(1, 200), max_size=60), st.integers(2, 10), st.integers(50, 400))
def test_merges_stay_within_bounds(sizes: list[int], min_files: int, max_bytes: int) -> None:
    """Whatever the sizes: a merge has enough files, stays below the bound, and no file is in two merges."""
    scale = 1 << 18
    files = [_file(str(number), size * scale) for number, size in enumerate(sizes)]
    settings = CompactionSettings(min_files=min_files, max_bytes=max_bytes * scale)
    chosen = [list(merge) for merge in merges(files, settings)]
    paths = [file.path for merge in chosen for file in merge]
    assert len(paths) == len(set(paths))
    for merge in chosen:
        assert len(merge) >= min_files
        assert sum(file.bytes for file in merge) <= settings.max_bytes
        for position, file in enumerate(merge[1:], start=1):
            assert file.bytes <= max(2 * sum(other.bytes for other in merge[:position]), 1 << 20)


class Traffic:
    """Work for threads on one store, all of it ending with the writer or with the first failure."""

    def __init__(self, store: SpanStore, batches: int) -> None:
        self.store = store
        self.batches = batches
        self.appended = 0
        self.failures: list[BaseException] = []
        self.done = threading.Event()

    def write(self) -> None:
        """Append records, and commit every other one."""
        for number in range(1, self.batches + 1):
            self.store.append(batch(number, count=2))
            self.appended = number
            if number % 2 == 0:
                self.store.commit()
        self.done.set()

    def merge(self) -> None:
        """Merge what can be merged, and look for what has expired."""
        self.store.compact(CompactionSettings(min_files=2, reader_grace_seconds=3600))
        self.store.retention().run()

    def read(self) -> None:
        """Every record that was appended before is there whole and once, and none after a missing one."""
        at_least = self.appended
        found = self.store.snapshot().to_table(columns=["span_id", "attributes_str"])["span_id"].to_pylist()
        records = sorted({int(span_id, 16) // 1000 for span_id in found})
        assert len(found) == len(set(found)), "a row shows twice"
        assert records == list(range(1, len(records) + 1)), "there is a gap"
        assert len(found) == 2 * len(records) >= 2 * at_least

    def run(self, work: Callable[[], None]) -> None:
        """Do it over and over."""
        try:
            while not self.done.is_set():
                work()
        except BaseException as error:  # noqa: BLE001 - a thread's failure has to reach the test
            self.failures.append(error)
            self.done.set()


def test_append_commit_compact_retention_and_readers_at_once(store: SpanStore) -> None:
    """Threads append, commit, merge, unlink and read at the same time: a reader never sees a gap nor a double."""
    traffic = Traffic(store, batches=40)
    works = (traffic.write, traffic.merge, traffic.read, traffic.read)
    threads = [threading.Thread(target=traffic.run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert traffic.failures == []
    store.commit()
    assert span_ids(store) == ids_of(*(batch(number, count=2) for number in range(1, 41)))


def _file(path: str, size: int) -> LakeFile:
    return LakeFile(path, {"date": "2026-01-01"}, size, 1, ds.field("date").is_valid())
