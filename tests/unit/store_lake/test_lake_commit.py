"""Append, commit, replay, crash: nothing is lost and nothing doubled."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from spanward.store.batch import Batch, Signal
from spanward.store.clock import ManualClock
from spanward.store.errors import ConfigurationError, PermanentError, RetryableError, StoreError
from spanward.store.layout import intake_folder
from spanward.store.parquet import write_file
from spanward.store.span_store import SpanStore
from tests.unit.store_lake.support import DAY_NS, NOW_NS, batch, ids_of, parquet_files, rows, sketches, span_ids


class CrashError(BaseException):
    """Stands for the end of the process."""


def reopen(store: SpanStore, clock: ManualClock) -> SpanStore:
    store.close()
    return SpanStore.open(store.data, clock=clock)


def test_crash_between_files_and_commit_leaves_no_orphans(
    store: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies after its files are written: the next open removes them, and a replay stores the rows once."""
    one = batch(1)
    store.append(one)
    with monkeypatch.context() as patch:
        patch.setattr("spanward.store.delta.LakeTable.commit", _crash)
        with pytest.raises(CrashError):
            store.commit()
    assert len(parquet_files(store)) == 1
    again = reopen(store, clock)
    assert parquet_files(again) == []
    assert list((again.data / "lake" / "intents").iterdir()) == []
    assert (again.committed_sequence(), again.hot_rows()) == (0, 0)
    again.append(one)
    again.commit()
    assert span_ids(again) == ids_of(one)
    again.close()


def test_crash_amid_the_files_leaves_no_orphans(
    store: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies between two files of one commit, leaving half an intent record too: all of it goes."""
    written: list[str] = []

    def second_dies(*args: Any, **options: Any) -> Any:
        if written:
            raise CrashError
        written.append("one")
        return write_file(*args, **options)

    store.append(batch(1))
    store.append(batch(2, classification="public"))
    with monkeypatch.context() as patch:
        patch.setattr("spanward.store.delta.write_file", second_dies)
        patch.setattr("spanward.store.delta.LakeTable._remove", _nothing)
        with pytest.raises(CrashError):
            store.commit()
    half = store.data / "lake" / "intents" / ".spans-0.json.7.tmp"
    half.write_text("{")
    assert len(parquet_files(store)) == 1
    again = reopen(store, clock)
    assert parquet_files(again) == []
    assert not half.exists()
    again.close()


def test_crash_after_the_commit_keeps_the_files(
    store: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process dies after the commit and before the intent is cleared: the files are live and stay."""
    one = batch(1)
    store.append(one)
    with monkeypatch.context() as patch:
        patch.setattr("spanward.store._intents.Intents.done", _crash)
        with pytest.raises(CrashError):
            store.commit()
    again = reopen(store, clock)
    assert again.committed_sequence() == 1
    again.append(one)
    assert again.hot_rows() == 0
    assert span_ids(again) == ids_of(one)
    assert list((again.data / "lake" / "intents").iterdir()) == []
    again.close()


def test_orphans_that_cannot_be_removed_stop_the_open(store: SpanStore, clock: ManualClock) -> None:
    """An intent that is no intent is reported, not guessed at."""
    store.append(batch(1))
    store.commit()
    store.close()
    (store.data / "lake" / "intents" / "spans-x.json").write_text("no json")
    with pytest.raises(StoreError, match="files of a crash cannot be removed"):
        SpanStore.open(store.data, clock=clock)


def test_full_disk_keeps_the_rows_hot(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses a file: RetryableError, nothing left behind, the rows stay in every snapshot; a retry works."""
    one = batch(1)
    store.append(one)
    with monkeypatch.context() as patch:
        patch.setattr("spanward.store.parquet.os.fsync", _no_space)
        with pytest.raises(RetryableError, match="is the disk full"):
            store.commit()
    assert parquet_files(store) == []
    assert list((store.data / "lake" / "intents").iterdir()) == []
    assert span_ids(store) == ids_of(one)
    assert store.commit().rows == 3
    assert span_ids(store) == ids_of(one)


def test_intent_that_cannot_be_written_writes_no_file(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a durable intent there is no file either: it could not be found after a crash."""
    store.append(batch(1))
    with monkeypatch.context() as patch:
        patch.setattr("spanward.store._intents.publish", _no_space)
        with pytest.raises(RetryableError):
            store.commit()
    assert parquet_files(store) == []


def test_conflicting_writer_is_retryable(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """delta-rs gives up on a commit that did not land: the files go, the rows stay hot, the next commit lands."""
    one = batch(1)
    store.append(one)

    def refuse(*_args: Any, **_options: Any) -> None:
        raise CommitFailedError("a concurrent transaction\nwon")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", refuse)
        with pytest.raises(RetryableError, match="a concurrent transaction; trying again"):
            store.commit()
    assert parquet_files(store) == []
    store.commit()
    assert span_ids(store) == ids_of(one)


def test_commit_that_landed_despite_an_error_counts(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows a commit in delta-rs (a checkpoint) fails: the rows are in the table once, and not hot any more."""
    one = batch(1)
    store.append(one)
    real = DeltaTable.create_write_transaction

    def land_and_fail(*args: Any, **options: Any) -> None:
        real(*args, **options)
        raise OSError("no room for the checkpoint")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", land_and_fail)
        assert store.commit().sequence == 1
    assert (store.hot_rows(), store.committed_sequence()) == (0, 1)
    assert span_ids(store) == ids_of(one)
    assert len(parquet_files(store)) == 1


def test_replay_is_not_stored_twice(store: SpanStore, clock: ManualClock) -> None:
    """After a restart the log hands over everything again: what the lake has is ignored, what it lacks is taken."""
    batches = [batch(number) for number in (1, 2, 3)]
    for one in batches[:2]:
        store.append(one)
    store.commit()
    store.append(batches[2])
    again = reopen(store, clock)
    for one in (*batches, *batches):
        again.append(one)
    assert again.hot_rows() == 3
    again.commit()
    assert span_ids(again) == ids_of(*batches)
    again.close()


def test_stale_store_does_not_commit_twice(data: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two stores of one app_id, in spite of the lock: the second sees the first one's commit and adds nothing."""
    monkeypatch.setattr("spanward.store._opening._lock", lambda _data: None)
    first, second = SpanStore.open(data, clock=clock), SpanStore.open(data, clock=clock)
    one = batch(1)
    first.append(one)
    second.append(one)
    first.commit()
    assert second.commit().rows == 0
    assert span_ids(second) == span_ids(first) == ids_of(one)
    first.close()
    second.close()


def test_commit_in_bounded_steps(store: SpanStore) -> None:
    """at_most bounds a version by whole records, at least one; what is left stays hot and in order."""
    batches = [batch(number) for number in (1, 2, 3, 4)]
    for one in batches:
        store.append(one)
    assert (store.commit(at_most=7).sequence, store.hot_rows()) == (2, 6)
    assert store.commit(at_most=1).sequence == 3
    assert store.commit().sequence == 4
    assert store.commit().rows == 0
    assert span_ids(store) == ids_of(*batches)


def test_record_without_rows_moves_the_watermark(store: SpanStore) -> None:
    """The policy dropped all spans of a record: nothing is written, and the log may be cut all the same."""
    store.append(batch(1, rows(0)))
    result = store.commit()
    assert (result.sequence, result.files, store.committed_sequence()) == (1, 0, 1)


def test_expired_rows_are_not_written(store: SpanStore) -> None:
    """A record is replayed after its spans expired: they are not written, and counted."""
    store.append(batch(1, retention="7d", received_at_ns=NOW_NS - 7 * DAY_NS))
    assert span_ids(store) == []
    result = store.commit()
    assert (result.rows, result.expired, result.sequence) == (0, 3, 1)


@pytest.mark.parametrize(
    "wrong",
    [
        Batch(Signal.TRACES, rows(1), 0),
        Batch(Signal.METRICS, rows(1), 1),
        Batch(Signal.TRACES, pa.record_batch({"a": [1]}), 1),
    ],
)
def test_only_logged_spans_are_taken(store: SpanStore, wrong: Batch) -> None:
    """A batch without a sequence, of another signal or of another schema is refused."""
    with pytest.raises(PermanentError, match="logged batches of spans"):
        store.append(wrong)


def test_one_appender(store: SpanStore) -> None:
    """Two pipelines into one lake would mix up their sequences: the second is refused, until the first lets go."""
    log = intake_folder(store.data, "traces")
    store.claim("lake", log)
    store.claim("lake", log)
    with pytest.raises(ConfigurationError, match="lake writes the table spans"):
        store.claim("lake/2", log)
    store.release("lake/2")
    store.release("lake")
    store.claim("lake/2", log)


def test_partitions(store: SpanStore) -> None:
    """One file a partition, in the partition's folder, its rows in the order in which they came."""
    store.append(batch(1, tenant="b"))
    store.append(batch(2, tenant="a"))
    store.append(batch(3, retention="7d", classification="restricted", received_at_ns=NOW_NS - DAY_NS))
    assert store.commit().files == 2
    files = parquet_files(store)
    assert [str(path.parent.relative_to(store.data / "lake" / "spans")) for path in files] == [
        "date=2025-12-31/retention=7d/classification=restricted",
        "date=2026-01-01/retention=30d/classification=internal",
    ]
    keys = store.snapshot(None).to_table(columns=["date", "tenant", "trace_id"]).to_pylist()
    newest = [row["tenant"] for row in keys if str(row["date"]) == "2026-01-01"]
    assert newest == sorted(newest, reverse=True)


def test_derived_table_round_trip(store: SpanStore, clock: ManualClock) -> None:
    """Rows of a derived table come back as they went in, once, filtered by tenant, and under their own transaction."""
    one = sketches(2, first=1, last=5)
    store.append_table("percentiles", one, first=1, last=5)
    store.append_table("percentiles", one, first=1, last=5)
    store.append_table("percentiles", sketches(1, first=6, last=6, tenant="b"), first=6, last=6)
    assert (store.table_committed("percentiles"), store.committed_sequence()) == (6, 0)
    assert store.read_table("percentiles", tenant="default").sort_by("sequence_last").equals(one)
    assert store.read_table("percentiles", tenant=None, columns=["tenant"]).num_rows == 3
    again = reopen(store, clock)
    assert again.table_committed("percentiles") == 6
    again.close()


def test_derived_table_overlap_is_refused(store: SpanStore) -> None:
    """A partial that covers records the table has in part would count them twice."""
    store.append_table("percentiles", sketches(1, first=1, last=5), first=1, last=5)
    with pytest.raises(PermanentError, match=r"1\.\.7 overlap with 5"):
        store.append_table("percentiles", sketches(1, first=1, last=7), first=1, last=7)


def test_derived_table_without_rows_moves_on(store: SpanStore) -> None:
    """Records without any span still count as done."""
    store.append_table("percentiles", sketches(0, first=1, last=5), first=1, last=5)
    assert store.table_committed("percentiles") == 5


def test_unknown_table(store: SpanStore) -> None:
    """A table that does not exist is named, with those that do."""
    with pytest.raises(ConfigurationError, match=r"no derived table .nope.; there are: percentiles"):
        store.read_table("nope", tenant=None)


def test_files_are_private_and_durable(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is 0600 and every folder 0700; data files and the log entry are fsynced before the commit returns."""
    synced: set[str] = set()
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr("os.fsync", note)
    store.append(batch(1))
    store.commit()
    store.compliance.append_audit("test", "test.run", {})
    (file,) = parquet_files(store)
    log = store.data / "lake" / "spans" / "_delta_log"
    assert {str(file), str(file.parent), str(log / f"{1:020d}.json"), str(log)} <= synced
    modes = {path: path.stat().st_mode & 0o777 for path in store.data.rglob("*")}
    own = {path: mode for path, mode in modes.items() if path.is_file()}
    assert {path for path, mode in own.items() if mode != 0o600} == set()
    assert all((store.data / name).stat().st_mode & 0o777 == 0o700 for name in ("lake", "keys", "intake"))


def _crash(*_args: Any, **_options: Any) -> None:
    raise CrashError


def _nothing(*_args: Any, **_options: Any) -> None:
    return


def _no_space(*_args: Any, **_options: Any) -> None:
    raise OSError(28, "No space left on device")


def test_one_writer_a_table(store: SpanStore) -> None:
    """Two connectors would mix up their sequences in one table: the second is refused, until the first lets go."""
    store.claim_table("percentiles", "percentiles")
    with pytest.raises(ConfigurationError, match="percentiles writes the table percentiles"):
        store.claim_table("percentiles", "percentiles/2")
    store.claim("lake", intake_folder(store.data, "traces"))
    store.release_table("percentiles", "percentiles")
    store.claim_table("percentiles", "percentiles/2")
