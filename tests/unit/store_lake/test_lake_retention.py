"""Retention: the plan, the removal for good, its record, and what happens when it is interrupted."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable

from spanward.store._removal import removals
from spanward.store.clock import ManualClock
from spanward.store.delta import LakeTable
from spanward.store.errors import KeyringError, PermanentError, RetryableError, StoreError
from spanward.store.retention import PartitionState, RetentionSettings
from spanward.store.snapshot import expiry
from spanward.store.span_store import SpanStore
from tests.unit.store_lake.support import DAY_NS, NOW_NS, all_bytes, batch, ids_of, parquet_files, sketches, span_ids

AT_ONCE = RetentionSettings(reader_grace_seconds=0)
WEEK_PARTITION = "date=2026-01-01/retention=7d/classification=internal"


@pytest.fixture
def filled(store: SpanStore) -> SpanStore:
    """A week's, a month's and permanent rows, in the lake."""
    for number, retention in enumerate(("7d", "30d", "permanent"), start=1):
        store.append(batch(number, retention=retention))
        store.commit()
    return store


def test_failed_commit_removes_nothing(filled: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commit of a removal fails: no file is unlinked, the next run removes them."""
    clock.advance(days=7)

    def refuse(*_args: Any, **_options: Any) -> None:
        raise RetryableError("conflict")

    with monkeypatch.context() as patch:
        patch.setattr(LakeTable, "commit", refuse)
        with pytest.raises(RetryableError):
            filled.retention(AT_ONCE).run()
    assert len(parquet_files(filled)) == 3
    assert len(filled.compliance.pending_removals("spans")) == 1
    assert filled.compliance.deletions() == []
    report = filled.retention(AT_ONCE).run()
    assert (report.rows, report.files_removed) == (3, 1)


def test_crash_before_the_commit_does_not_unlink_live_files(filled: SpanStore, clock: ManualClock) -> None:
    """Files are noted for removal and the commit never comes: what is still part of the table stays.

    The note is kept for an hour, for the commit may be under way in another process, and forgotten then.
    """
    table = filled.retention()._tables["spans"]
    live = table.files().values()
    noted = removals(table, live, "expired", now_ns=clock.now_ns(), grace_seconds=0)
    filled.compliance.schedule_removals(noted)
    report = filled.retention(AT_ONCE).run()
    assert (report.files_removed, report.files_waiting) == (0, 0)
    assert len(parquet_files(filled)) == 3
    assert len(filled.compliance.pending_removals("spans")) == len(noted)
    clock.advance(seconds=3601)
    assert filled.retention(AT_ONCE).run().files_removed == 0
    assert len(parquet_files(filled)) == 3
    assert filled.compliance.pending_removals("spans") == []


def test_file_that_cannot_be_unlinked_is_tried_again(
    filled: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses an unlink: the rows are gone from the table, the file and its key go in the next run."""
    clock.advance(days=7)

    def refuse(*_args: Any, **_options: Any) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr("spanward.store._removal.Path.unlink", refuse)
        with pytest.raises(RetryableError, match="cannot be removed"):
            filled.retention(AT_ONCE).run()
    assert span_ids(filled) == ids_of(batch(2), batch(3))
    assert filled.keyring.data_key(WEEK_PARTITION, create=False)
    report = filled.retention(AT_ONCE).run()
    assert (report.rows, report.files_removed, report.keys_destroyed) == (0, 1, (WEEK_PARTITION,))


def test_plan_names_every_partition(filled: SpanStore, clock: ManualClock) -> None:
    """The plan says what is kept until when, the next to expire first, for today or another day."""
    plan = filled.retention().plan()
    assert [(part.retention, part.state, part.due_days) for part in plan] == [
        ("7d", PartitionState.KEPT, 7),
        ("30d", PartitionState.KEPT, 30),
        ("permanent", PartitionState.PERMANENT, None),
    ]
    assert {(part.rows, part.files, part.classification, part.table) for part in plan} == {(3, 1, "internal", "spans")}
    assert all(part.bytes > 0 and part.date == dt.date(2026, 1, 1) for part in plan)
    assert plan[0].expires_on == dt.date(2026, 1, 8)
    later = filled.retention().plan(dt.date(2026, 1, 31))
    assert [part.state for part in later] == ["expired", "expired", "permanent"]
    assert later[0].due_days == -23


def test_dry_run_changes_nothing(filled: SpanStore, clock: ManualClock) -> None:
    """A dry run says what would go and leaves every byte; it works in a store that only reads."""
    clock.advance(days=7)
    before = list(all_bytes(filled.data / "lake"))
    reader = SpanStore.open(filled.data, clock=clock, read_only=True)
    for store in (filled, reader):
        report = store.retention().run(dry_run=True)
        assert (report.dry_run, report.rows, report.files, report.verified) == (True, 3, 1, False)
        assert [part.retention for part in report.partitions] == ["7d"]
    reader.close()
    assert list(all_bytes(filled.data / "lake")) == before
    assert filled.compliance.deletions() == []


def test_nothing_is_removed_a_second_too_early(filled: SpanStore, clock: ManualClock) -> None:
    """Rows live until the last second of the day before they expire, and are gone with the first of that day."""
    clock.advance(days=7, seconds=-1)
    assert filled.retention(AT_ONCE).run().rows == 0
    assert len(span_ids(filled)) == 9
    clock.advance(seconds=1)
    assert filled.retention(AT_ONCE).run().rows == 3


def test_expired_is_gone_for_good(filled: SpanStore, clock: ManualClock) -> None:
    """After the run: no row, no file, no folder, no key; the record and the audit trail say what went."""
    clock.advance(days=7)
    report = filled.retention(AT_ONCE).run()
    assert (report.rows, report.files, report.files_removed, report.verified) == (3, 1, 1, True)
    assert report.keys_destroyed == (WEEK_PARTITION,)
    assert report.bytes_removed == report.bytes > 0
    assert span_ids(filled) == ids_of(batch(2), batch(3))
    assert not (filled.data / "lake" / "spans" / "date=2026-01-01" / "retention=7d").exists()
    assert (filled.data / "lake" / "spans" / "date=2026-01-01" / "retention=30d").exists()
    with pytest.raises(KeyringError):
        filled.keyring.data_key(WEEK_PARTITION, create=False)
    (deletion,) = filled.compliance.deletions()
    assert (deletion.partition, deletion.rows, deletion.files, deletion.reason) == (WEEK_PARTITION, 3, 1, "expired")
    assert (deletion.at_ns, deletion.removed_at_ns, deletion.key_destroyed) == (clock.now_ns(), clock.now_ns(), True)
    assert [entry.action for entry in filled.compliance.audit()] == ["rows.delete", "files.remove"]
    assert filled.compliance.verify_audit() == 2
    assert json.loads(json.dumps(report.as_dict()))["partitions"][0]["expires_on"] == "2026-01-08"


def test_reader_grace(filled: SpanStore, clock: ManualClock) -> None:
    """A query that began before the removal reads on; the file, its key and its folder go when the grace has passed."""
    before = filled.snapshot()
    clock.advance(days=7)
    report = filled.retention().run()
    assert (report.rows, report.files_removed, report.files_waiting, report.keys_destroyed) == (3, 0, 1, ())
    assert before.to_table().num_rows == 9
    clock.advance(seconds=599)
    assert filled.retention().run().files_waiting == 1
    clock.advance(seconds=1)
    report = filled.retention().run()
    assert (report.files_removed, report.files_waiting, report.keys_destroyed) == (1, 0, (WEEK_PARTITION,))
    (deletion,) = filled.compliance.deletions()
    assert deletion.removed_at_ns == deletion.at_ns + 600 * 10**9
    assert filled.retention().run().files_removed == 0


def test_restart_finishes_what_is_pending(filled: SpanStore, clock: ManualClock) -> None:
    """The process ends during the grace: the next one unlinks the files."""
    clock.advance(days=7)
    filled.retention().run()
    filled.close()
    clock.advance(seconds=601)
    again = SpanStore.open(filled.data, clock=clock)
    assert again.retention().run().files_removed == 1
    assert len(parquet_files(again)) == 2
    again.close()


def test_hot_rows_expire_too(store: SpanStore, clock: ManualClock) -> None:
    """Expired rows that were never committed leave memory, and the rest of their record stays."""
    store.append(batch(1, retention="7d"))
    store.append(batch(2, retention="30d"))
    clock.advance(days=7)
    assert store.hot_rows() == 6
    assert store.retention().run().hot_rows == 3
    assert (store.hot_rows(), store.hot().records) == (3, 2)
    assert (store.commit().rows, store.committed_sequence()) == (3, 2)
    assert span_ids(store) == ids_of(batch(2))


def test_all_days_and_classes(store: SpanStore, clock: ManualClock) -> None:
    """Thirty partitions of many days: each goes on its own day, in one version a run."""
    for day in range(10):
        for classification in ("public", "internal", "restricted"):
            number = day * 3 + len(classification) + 100 * (classification == "restricted") + 1
            store.append(
                batch(
                    day * 200 + number,
                    retention="7d",
                    classification=classification,
                    received_at_ns=NOW_NS - day * DAY_NS,
                )
            )
    store.commit()
    # the rows of 7, 8 and 9 days ago were never written
    assert len(store.retention().plan()) == 21
    for left in range(18, -1, -3):
        clock.advance(days=1)
        report = store.retention(AT_ONCE).run()
        assert (len(report.partitions), len(report.keys_destroyed)) == (3, 2)
        assert len(store.retention().plan()) == left
    assert parquet_files(store) == []
    assert list((store.data / "keys" / "data").iterdir()) == []


def test_derived_tables_have_their_own_term(store: SpanStore, clock: ManualClock) -> None:
    """Percentiles stay for their own number of days, and are removed and recorded alike."""
    store.append_table("percentiles", sketches(2, first=1, last=1), first=1, last=1)
    store.append_table("percentiles", sketches(1, first=2, last=2, day=1), first=2, last=2)
    settings = RetentionSettings(reader_grace_seconds=0, derived_days=10)
    clock.advance(days=10)
    plan = store.retention(settings).plan(table="percentiles")
    assert [(part.rows, part.state, part.retention) for part in plan] == [(2, "expired", ""), (1, "kept", "")]
    report = store.retention(settings).run()
    assert (report.rows, report.files_removed, report.keys_destroyed) == (2, 1, ())
    assert store.read_table("percentiles", tenant=None).num_rows == 1
    (deletion,) = store.compliance.deletions()
    assert (deletion.table, deletion.partition, deletion.key_destroyed) == ("percentiles", "date=2026-01-01", False)


def test_what_should_be_gone_and_is_not(filled: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program puts expired rows back while retention runs: the run says so instead of claiming success."""
    clock.advance(days=7)
    monkeypatch.setattr("spanward.store.retention.RetentionManager._remove_expired", lambda *_args: None)
    with pytest.raises(StoreError, match=r"retention=7d.* expired and is there"):
        filled.retention(AT_ONCE).run()


def test_partition_with_a_retention_of_others(filled: SpanStore) -> None:
    """A partition whose retention is none is named; it is neither kept silently nor deleted."""
    with pytest.raises(StoreError, match="no valid retention"):
        expiry({"date": "2026-01-01", "retention": "soon"})
    assert expiry({"date": "2026-01-01"}) is None


def test_files_of_others_are_left_alone(filled: SpanStore, clock: ManualClock) -> None:
    """A file that our own commits did not remove is never unlinked, even inside an expired partition's folder."""
    stranger: Path = filled.data / "lake" / "spans" / WEEK_PARTITION / "theirs.parquet"
    stranger.write_bytes(b"x")
    clock.advance(days=7)
    filled.retention(AT_ONCE).run()
    assert stranger.exists()
    assert span_ids(filled) == ids_of(batch(2), batch(3))


def test_beside_a_writer(filled: SpanStore, clock: ManualClock) -> None:
    """Retention is enforced by another process while one appends: it removes and records, and cannot append."""
    filled.append(batch(4, retention="7d"))
    filled.append(batch(5))
    clock.advance(days=7)
    beside = SpanStore.open(filled.data, clock=clock, maintenance=True)
    with pytest.raises(PermanentError):
        beside.append(batch(6))
    report = beside.retention(AT_ONCE).run()
    assert (report.rows, report.files_removed, report.keys_destroyed) == (3, 1, (WEEK_PARTITION,))
    filled.compliance.append_audit("sidecar", "thing.do", {})
    assert beside.compliance.verify_audit() == 3
    beside.close()
    assert (filled.commit().expired, filled.committed_sequence()) == (3, 5)
    assert span_ids(filled) == ids_of(batch(2), batch(3), batch(5))


def test_two_who_remove_the_same(filled: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes remove the same files: the second is refused instead of removing what is gone."""
    clock.advance(days=7)
    beside = SpanStore.open(filled.data, clock=clock, maintenance=True)
    stale = [file for file in filled.snapshot(None)._table.files().values() if "retention=7d" in file.path]
    beside.retention(AT_ONCE).run()
    table = filled.retention()._tables["spans"]
    with pytest.raises(RetryableError, match="removed the same files first"):
        table.commit(None, removes=stale, now_ns=clock.now_ns())
    assert filled.retention(AT_ONCE).run().rows == 0
    beside.close()


def test_removal_that_landed_despite_an_error(
    filled: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The removal is in the table though delta-rs reports an error: it counts, and is recorded once."""
    clock.advance(days=7)
    real = DeltaTable.create_write_transaction

    def land_and_fail(*args: Any, **options: Any) -> None:
        real(*args, **options)
        raise OSError("no room for the checkpoint")

    with monkeypatch.context() as patch:
        patch.setattr(DeltaTable, "create_write_transaction", land_and_fail)
        assert filled.retention(AT_ONCE).run().rows == 3
    assert len(filled.compliance.deletions()) == 1
