"""Payload at rest: no raw byte in any file, clear columns for everybody, nothing without the key."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import duckdb
import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from spanward.store._encryption import _ColumnKeys
from spanward.store.clock import ManualClock
from spanward.store.errors import KeyringError
from spanward.store.schema import CLEAR_COLUMNS, PARTITION_COLUMNS, PAYLOAD_COLUMNS
from spanward.store.span_store import SpanStore
from spanward.store.sql import query
from tests.unit.store_lake.support import all_bytes, batch, parquet_files, span_ids

MARKER = "marker7f3a"
PARTITION = "date=2026-01-01/retention=30d/classification=internal"
CLEAR = sorted(CLEAR_COLUMNS - set(PARTITION_COLUMNS))


@pytest.fixture
def filled(store: SpanStore) -> SpanStore:
    store.append(batch(1, marker=MARKER))
    store.commit()
    return store


@pytest.mark.parametrize("classification", ["internal", "confidential", "restricted"])
def test_no_raw_payload_in_any_file(store: SpanStore, classification: str) -> None:
    """Every payload column holds a marker: it is in no byte of any file, and comes back decrypted."""
    store.append(batch(1, marker=MARKER, classification=classification, count=30))
    store.commit()
    store.append(batch(2, marker=MARKER, classification=classification))
    store.commit()
    store.compact()
    assert [path for path, content in all_bytes(store.data) if MARKER.encode() in content] == []
    assert MARKER in str(store.snapshot().to_table(columns=["attributes_str", "events", "resource"]).to_pylist())


def test_public_payload_is_clear(store: SpanStore) -> None:
    """A public partition is not encrypted: any reader reads all of it."""
    store.append(batch(1, marker=MARKER, classification="public"))
    store.commit()
    (file,) = parquet_files(store)
    assert MARKER in str(pq.ParquetFile(file).read().to_pylist())
    assert not (store.data / "keys" / "data").exists()


def test_duckdb_and_polars_read_clear_columns_without_a_key(filled: SpanStore) -> None:
    """Stock readers read every clear column of an encrypted file, and refuse each payload column."""
    (file,) = parquet_files(filled)
    connection = duckdb.connect()
    everything = connection.read_parquet(str(file))
    assert everything.select(*map(duckdb.ColumnExpression, CLEAR)).to_arrow_table().num_rows == 3
    for column in PAYLOAD_COLUMNS:
        with pytest.raises(duckdb.Error):
            everything.select(duckdb.ColumnExpression(column)).fetchall()
    connection.close()
    frame = pl.scan_delta(str(filled.data / "lake" / "spans"))
    assert frame.select(*CLEAR, "date").collect().height == 3
    with pytest.raises(pl.exceptions.PolarsError):
        frame.select("attributes_str").collect()


def test_pyarrow_without_the_key_reads_clear_columns_only(filled: SpanStore) -> None:
    """Arrow itself, without the keyring, reads what is clear and refuses what is not."""
    (file,) = parquet_files(filled)
    assert pq.ParquetFile(file).read(columns=CLEAR).num_rows == 3
    with pytest.raises(OSError, match="ecrypt"):
        pq.ParquetFile(file).read(columns=["url_full"])


def test_delta_log_has_no_bounds_of_payload(filled: SpanStore) -> None:
    """The log's statistics name clear columns only."""
    log = (filled.data / "lake" / "spans" / "_delta_log" / f"{1:020d}.json").read_text()
    assert "trace_id" in log
    assert not any(f'\\"{column}\\"' in log for column in PAYLOAD_COLUMNS)


def test_destroyed_key_makes_the_partition_unreadable(filled: SpanStore) -> None:
    """The data key of a partition is destroyed: its payload is gone, also from copies; others are as before."""
    filled.append(batch(2, retention="7d", marker=MARKER))
    filled.commit()
    assert filled.keyring.destroy(PARTITION)
    with pytest.raises(KeyringError, match="destroyed"):
        filled.snapshot().to_table(columns=["url_full"])
    others = filled.snapshot().dataset().filter(_is("7d")).to_table(columns=["url_full"])
    assert others.num_rows == 3


def test_new_key_under_an_old_name_does_not_open_old_files(filled: SpanStore) -> None:
    """A key of the same name was made anew: old files say so instead of giving garbage."""
    filled.keyring.destroy(PARTITION)
    filled.keyring.data_key(PARTITION, create=True)
    with pytest.raises(KeyringError, match="destroyed or replaced"):
        filled.snapshot().to_table(columns=["url_full"])


def test_data_without_its_keyring_does_not_open(filled: SpanStore, clock: ManualClock) -> None:
    """The keys folder is gone: opening says so, and makes no new keyring beside the old data."""
    filled.close()
    shutil.rmtree(filled.data / "keys")
    with pytest.raises(KeyringError, match="missing"):
        SpanStore.open(filled.data, clock=clock)
    assert not (filled.data / "keys" / "keyring.json").exists()


def test_commit_without_key_keeps_the_rows(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The partition's key cannot be made: KeyringError, nothing left behind, the rows stay hot."""

    def refuse(_name: str, *, create: bool) -> bytes:
        raise KeyringError(f"no key, create={create}")

    store.append(batch(1))
    with monkeypatch.context() as patch:
        patch.setattr(store.keyring, "data_key", refuse)
        with pytest.raises(KeyringError, match="no key"):
            store.commit()
    assert parquet_files(store) == []
    store.commit()
    assert len(span_ids(store)) == 3


def test_scans_at_once_do_not_lock_each_other_out(store: SpanStore) -> None:
    """SQL and Arrow scan many encrypted files from several threads: keys are asked for without a deadlock.

    DuckDB would start a scan holding Python's lock, which Arrow's threads want to unwrap keys.
    """
    for number in range(1, 13):
        store.append(batch(number, marker=MARKER))
        store.commit()
    failures: list[BaseException] = []

    def join() -> None:
        sql = "SELECT count(*) AS n FROM spans a JOIN spans b USING (span_id) WHERE a.url_full = b.url_full"
        assert query(store, sql).to_pylist() == [{"n": 36}]

    def scan() -> None:
        assert store.snapshot().to_table().num_rows == 36

    def run(work: Callable[[], None]) -> None:
        try:
            for _ in range(4):
                work()
        except BaseException as error:  # noqa: BLE001 - a thread's failure has to reach the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in (join, join, scan, scan)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_column_keys_do_not_outlive_their_dataset(filled: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: payload is read, and the snapshot let go. Guarantee: no key that was unwrapped for it stays in memory.

    pyarrow itself never lets go of the object that it asks for keys.
    """
    seen: list[weakref.ref[_ColumnKeys]] = []
    client = _ColumnKeys.client

    def spy(self: _ColumnKeys, connection: Any) -> Any:
        seen.append(weakref.ref(self))
        return client(self, connection)

    monkeypatch.setattr(_ColumnKeys, "client", spy)
    assert filled.snapshot().to_table(columns=["attributes_str"]).num_rows == 3
    gc.collect()
    assert [keys() for keys in seen] == [None]


SCANS = {
    "limit": "print(query(store, 'SELECT url_full FROM spans LIMIT 1').num_rows)",
    "time limit": "query(store, 'SELECT url_full FROM spans', timeout_seconds=0.2)",
    "destroyed key": "store.keyring.destroy('%s'); store.snapshot().to_table()",
}


@pytest.mark.parametrize("scan", SCANS)
def test_a_process_ends_after_a_scan_that_was_left_early(store: SpanStore, scan: str) -> None:
    """Scenario: keys come slowly, and what wants them ends before all files are read. Guarantee: the process ends.

    Arrow's threads, still opening files, would ask for keys of an interpreter that is no more, and never come back.
    """
    for number in range(1, 13):
        store.append(batch(number, retention="permanent"))
        store.commit()
    store.append(batch(13, retention="permanent", classification="confidential"))
    store.commit()
    partition = PARTITION.replace("30d", "permanent").replace("internal", "confidential")
    program = f"""
import pathlib, sys, time
from spanward.store.keyring import Keyring
from spanward.store.span_store import SpanStore
from spanward.store.sql import query
data_key = Keyring.data_key
def slow(*args, **options):
    time.sleep(0.1)
    return data_key(*args, **options)
Keyring.data_key = slow
store = SpanStore.open(pathlib.Path(sys.argv[1]), read_only=True)
{SCANS[scan].replace("%s", partition)}
"""
    command = [sys.executable, "-c", program, str(store.data)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if scan == "limit":
        assert (ended.stdout, ended.returncode) == ("1\n", 0)
    else:
        assert "Error: " in ended.stderr.splitlines()[-1]


def _is(retention: str) -> object:
    return pc.field("retention") == retention
