"""What a reader sees: every column as it was, hot or cold, by tenant, and nothing that has expired."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.store.batch import Batch, Signal
from spanward.store.clock import ManualClock
from spanward.store.errors import PermanentError, StoreError
from spanward.store.layout import intake_folder
from spanward.store.log import IntakeLog
from spanward.store.records import RequestEntry, SpansRecord, encode
from spanward.store.rows import build_rows
from spanward.store.schema import SPANS
from spanward.store.span_store import SpanStore
from tests.unit.store_lake.support import DAY_NS, NOW_NS, batch, ids_of, parquet_files, rows, span_ids

READ_SCHEMA = pa.schema(
    [field.with_type(pa.string()) if field.name == "resource" else field for field in SPANS],
)


def by_id(table: pa.Table | pa.RecordBatch) -> list[dict[str, object]]:
    return sorted(table.to_pylist(), key=lambda row: str(row["span_id"]))


def bare_span() -> pa.RecordBatch:
    """A span with nothing that may be absent."""
    record = SpanRecord("0" * 31 + "1", "0" * 15 + "1", "", 0, 0, ResourceRecord(), ScopeRecord(), verdict=Verdict())
    return build_rows([record], tenant="default", received_at_ns=NOW_NS)


@pytest.mark.parametrize("classification", ["public", "internal", "confidential", "restricted"])
def test_every_column_survives(store: SpanStore, classification: str) -> None:
    """Full and bare spans of each class read back equal in every column, from memory and from files."""
    full = rows(3, first=7, classification=classification, marker="ü\U0001f600")
    sent = by_id(pa.Table.from_batches([full, bare_span()]))
    store.append(Batch(Signal.TRACES, full, 1))
    store.append(Batch(Signal.TRACES, bare_span(), 2))
    assert by_id(store.snapshot().to_table()) == sent
    store.commit(at_most=3)
    store.commit()
    cold = store.snapshot().to_table()
    assert cold.schema.equals(READ_SCHEMA)
    assert by_id(cold) == sent
    store.append(Batch(Signal.TRACES, rows(1, first=50), 3))
    assert store.snapshot().to_table().schema.equals(READ_SCHEMA)


def test_snapshot_does_not_change(store: SpanStore) -> None:
    """A snapshot shows what it showed when it was taken, after commits, merges and new rows."""
    batches = [batch(number) for number in range(1, 5)]
    for one in batches[:2]:
        store.append(one)
        store.commit()
    store.append(batches[2])
    before = store.snapshot()
    store.append(batches[3])
    store.commit()
    store.compact()
    assert sorted(before.to_table(columns=["span_id"])["span_id"].to_pylist()) == ids_of(*batches[:3])
    assert before.count_rows() == 9
    assert (before.sequence, store.snapshot().sequence) == (2, 4)
    assert before.version < store.snapshot().version


def test_tenants_do_not_see_each_other(store: SpanStore) -> None:
    """A snapshot of a tenant has its rows only, hot and cold, also where a caller's filter asks for more."""
    store.append(batch(1, tenant="a"))
    store.append(batch(2, tenant="b"))
    store.commit()
    store.append(batch(3, tenant="a"))
    store.append(batch(4, tenant="b"))
    mine = store.snapshot("a")
    assert set(mine.to_table(columns=["tenant"])["tenant"].to_pylist()) == {"a"}
    assert mine.to_table(filter=pc.field("tenant") == "b").num_rows == 0
    assert mine.count_rows() == 6
    assert store.snapshot(None).count_rows() == 12
    assert store.snapshot("nobody").count_rows() == 0
    connection = duckdb.connect()
    connection.register("spans", mine.dataset())
    assert connection.execute("SELECT tenant, count(*) FROM spans GROUP BY ALL").fetchall() == [("a", 6)]
    assert connection.execute("SELECT count(*) FROM spans WHERE tenant = 'b'").fetchall() == [(0,)]
    connection.close()


def test_filters_find_what_they_should(store: SpanStore) -> None:
    """Skipping files by partition and bounds never skips a row that the filter means."""
    for number in range(1, 6):
        store.append(batch(number, received_at_ns=NOW_NS - number * DAY_NS))
        store.commit()
    snapshot = store.snapshot()
    everything = snapshot.to_table(columns=["trace_id", "date", "start_unix_nano", "start_time"])
    for row in everything.to_pylist():
        for column, value in row.items():
            condition = pc.field(column) == pa.scalar(value, everything.schema.field(column).type)
            expected = sum(other[column] == value for other in everything.to_pylist())
            assert snapshot.to_table(columns=["span_id"], filter=condition).num_rows == expected
    assert snapshot.to_table(filter=pc.field("trace_id") == "f" * 32).num_rows == 0


def test_expired_rows_are_not_shown(store: SpanStore, clock: ManualClock) -> None:
    """At the first UTC day of expiry rows disappear from readers, hot or cold, before any job removed them."""
    store.append(batch(1, retention="7d"))
    store.append(batch(2, retention="permanent"))
    store.commit()
    store.append(batch(3, retention="7d"))
    clock.advance(days=7, seconds=-1)
    assert len(span_ids(store)) == 9
    clock.advance(seconds=1)
    assert span_ids(store) == ids_of(batch(2))
    assert store.rows_after(0).num_rows == 0


def test_vanished_file_is_an_error_of_ours(store: SpanStore) -> None:
    """Somebody removed a file of the lake: one line that says what to do, not Arrow's traceback."""
    store.append(batch(1))
    store.commit()
    parquet_files(store)[0].unlink()
    with pytest.raises(StoreError, match="the lake cannot be read"):
        store.snapshot().to_table()


def test_reader_beside_a_writer(store: SpanStore, data: Path, clock: ManualClock) -> None:
    """Another process reads: what is not in the lake yet comes from the log, each row once, at every moment."""
    log = IntakeLog.open(intake_folder(data, "traces"), store.keyring, clock=clock)
    reader = SpanStore.open(data, clock=clock, read_only=True)
    batches = [batch(number) for number in (1, 2, 3)]
    for one in batches:
        log.append(encode(SpansRecord(one.rows, [RequestEntry("default", "00", 0, 3, NOW_NS, 0, "")])))
        store.append(one)
    assert (reader.hot_rows(), reader.committed_sequence()) == (9, 0)
    assert reader.hot_bytes() > 0
    store.commit(at_most=6)
    assert span_ids(reader) == ids_of(*batches)
    assert (reader.hot_rows(), reader.committed_sequence(), reader.hot().records) == (3, 2, 1)
    assert reader.rows_after(1)["span_id"].to_pylist() == ids_of(*batches[1:])
    assert reader.rows_after(0, None).num_rows == 9
    assert store.rows_after(0)["span_id"].to_pylist() == ids_of(batches[2])
    store.commit()
    log.truncate(3)
    assert span_ids(reader) == ids_of(*batches)
    assert (reader.hot_rows(), reader.rows_after(0).num_rows) == (0, 0)
    reader.close()
    log.close()


def test_the_log_of_another_pipeline_is_not_read(store: SpanStore, data: Path, clock: ManualClock) -> None:
    """Two pipelines, one of which forwards only: a reader finds the hot rows of the one that feeds the lake."""
    reader = SpanStore.open(data, clock=clock, read_only=True)
    feeding, other = (intake_folder(data, name) for name in ("traces", "traces/forward"))
    store.claim("lake", feeding)
    for folder, one in ((feeding, batch(1)), (other, batch(2))):
        log = IntakeLog.open(folder, store.keyring, clock=clock)
        log.append(encode(SpansRecord(one.rows, [RequestEntry("default", "00", 0, 3, NOW_NS, 0, "")])))
        log.close()
    assert span_ids(reader) == ids_of(batch(1))
    reader.close()


def test_a_feed_that_cannot_be_noted_is_told(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses when an exporter takes the lake: an error that names the file, and the lake stays free."""
    full = OSError(28, "No space left on device", "feed.tmp")
    monkeypatch.setattr("spanward.store._durable.os.open", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(StoreError, match=r"feed\.tmp: No space left"):
        store.claim("lake", intake_folder(store.data, "traces"))
    monkeypatch.undo()
    store.claim("lake/2", intake_folder(store.data, "traces"))


def test_reader_changes_nothing(store: SpanStore, data: Path, clock: ManualClock) -> None:
    """A store that was opened to read refuses to write, and leaves every file as it is."""
    store.append(batch(1))
    store.commit()
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    reader = SpanStore.open(data, clock=clock, read_only=True)
    for write in (
        lambda: reader.append(batch(2)),
        reader.commit,
        reader.compact,
        lambda: reader.append_table("percentiles", pa.table({}), first=1, last=1),
    ):
        with pytest.raises(PermanentError, match="opened to read"):
            write()
    with pytest.raises(StoreError, match="opened to read"):
        reader.compliance.append_audit("a", "b", {})
    with pytest.raises(StoreError, match="opened to read"):
        reader.retention().run()
    assert reader.compliance.registrations() == []
    assert len(span_ids(reader)) == 3
    reader.close()
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before


def test_writer_notices_others(store: SpanStore, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program changed the table: the writing process reads that version seconds later without a commit."""
    monkeypatch.setattr("spanward.store._opening._lock", lambda _data: None)
    other = SpanStore.open(store.data, clock=clock)
    other.append(batch(1))
    other.commit()
    assert store.snapshot().version == 0
    clock.advance(seconds=5)
    assert span_ids(store) == ids_of(batch(1))
    other.close()


def test_today_is_utc(store: SpanStore, clock: ManualClock) -> None:
    """The day that decides about expiry is the UTC day of the clock."""
    clock.advance(seconds=-1)
    assert store.today() == dt.date(2025, 12, 31)
