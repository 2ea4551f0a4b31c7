"""`LakeSpanExporter`: SUCCESS means on disk; one writer a folder; nothing raw in any file."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult

from spanward.exporter.lake.span_exporter import LakeSpanExporter
from spanward.sdk import configure
from spanward.store.errors import ConfigurationError, LockedError, RetryableError, StoreError
from spanward.store.span_store import SpanStore

EMAIL = "jo.frost@example.com"


def spans(*names: str) -> list[ReadableSpan]:
    provider = TracerProvider(shutdown_on_exit=False)
    tracer = provider.get_tracer("test")
    made = [tracer.start_span(name) for name in names]
    for span in made:
        span.end()
    return [span for span in made if isinstance(span, ReadableSpan)]


@contextmanager
def reading(folder: Path) -> Generator[SpanStore, None, None]:
    store = SpanStore.open(folder, read_only=True)
    try:
        yield store
    finally:
        store.close()


def names(folder: Path) -> list[str]:
    with reading(folder) as store:
        return sorted(store.snapshot().to_table(columns=["name"], filter=None)["name"].to_pylist())


def exporter(folder: Path) -> LakeSpanExporter:
    """One that does not commit by itself during a test."""
    return LakeSpanExporter(folder, commit_interval_seconds=3600)


def test_a_wrong_interval_is_refused(tmp_path: Path) -> None:
    """Zero seconds: an error, and the folder is not touched."""
    with pytest.raises(ConfigurationError, match="commit_interval_seconds"):
        LakeSpanExporter(tmp_path / "lake", commit_interval_seconds=0)
    assert not (tmp_path / "lake").exists()


def test_a_folder_in_use_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Another writer holds it: LockedError that says what to do; and the folder is free again afterwards."""
    store = SpanStore.open(tmp_path)
    with pytest.raises(LockedError, match="endpoint="):
        exporter(tmp_path)
    store.close()
    exporter(tmp_path).shutdown()


def test_a_log_that_cannot_be_opened_lets_the_folder_go(tmp_path: Path) -> None:
    """The intake folder is a file: StoreError, and the lock on the data folder is not kept."""
    SpanStore.open(tmp_path).close()
    shutil.rmtree(tmp_path / "intake", ignore_errors=True)
    (tmp_path / "intake").write_text("in the way")
    with pytest.raises(StoreError):
        exporter(tmp_path)
    (tmp_path / "intake").unlink()
    exporter(tmp_path).shutdown()


def test_a_full_disk_is_a_failed_export(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Fsync fails: FAILURE, nothing counts; when there is room again the same spans are stored once."""
    lake = exporter(tmp_path)
    batch = spans("one")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        patch.setattr(os, "fdatasync", full)
        assert lake.export(batch) is SpanExportResult.FAILURE
    assert "not stored" in caplog.text
    assert lake.export(batch) is SpanExportResult.SUCCESS
    lake.shutdown()
    assert names(tmp_path) == ["one"]


def test_a_bug_is_a_failed_export_and_never_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Something that is no span: FAILURE and a traceback in the log, for the host must not notice."""
    lake = exporter(tmp_path)
    nonsense: Sequence[Any] = [object()]
    assert lake.export(nonsense) is SpanExportResult.FAILURE
    assert "not stored" in caplog.text
    lake.shutdown()


def test_after_shutdown_nothing_is_taken(tmp_path: Path) -> None:
    """export() after shutdown(): FAILURE; write() says why; shutting down twice is fine."""
    lake = exporter(tmp_path)
    other = exporter(tmp_path)
    lake.shutdown()
    lake.shutdown()
    assert lake.export(spans("late")) is SpanExportResult.FAILURE
    with pytest.raises(RetryableError, match="shut down"):
        lake.write([])
    other.shutdown()
    assert names(tmp_path) == []


def test_success_means_on_disk_before_any_commit(tmp_path: Path) -> None:
    """The process dies right after SUCCESS (a copy of the folder stands for it): the next one has the spans, once."""
    lake = exporter(tmp_path / "a")
    assert lake.export(spans("one", "two")) is SpanExportResult.SUCCESS
    assert names(tmp_path / "a") == ["one", "two"]  # another process sees them at once
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    lake.shutdown()
    survivor = exporter(tmp_path / "b")
    survivor.export(spans("three"))
    survivor.shutdown()
    assert names(tmp_path / "b") == ["one", "three", "two"]
    with reading(tmp_path / "b") as store:
        assert store.hot_rows() == 0


def test_sequences_rise_over_reopening(tmp_path: Path) -> None:
    """Open, write, close, three times, the log emptied in between: nothing is taken for a replay of something older."""
    for number in range(3):
        lake = exporter(tmp_path)
        lake.export(spans(f"run {number}"))
        lake.shutdown()
        shutil.rmtree(tmp_path / "intake")
    assert names(tmp_path) == ["run 0", "run 1", "run 2"]


def test_two_exporters_of_one_process_share_the_folder(tmp_path: Path) -> None:
    """configure() and a Pipeline on the same lake: both write, and the last one to go closes the folder."""
    first, second = exporter(tmp_path), exporter(tmp_path / ".")
    first.export(spans("one"))
    first.shutdown()
    assert second.export(spans("two")) is SpanExportResult.SUCCESS
    second.shutdown()
    assert names(tmp_path) == ["one", "two"]
    SpanStore.open(tmp_path).close()


def test_many_threads_export_at_once(tmp_path: Path) -> None:
    """Eight threads, five batches each, and commits in between: all spans are there, once."""
    lake = LakeSpanExporter(tmp_path, commit_interval_seconds=0.01)

    def work(thread: int) -> None:
        for number in range(5):
            assert lake.export(spans(f"{thread}-{number}")) is SpanExportResult.SUCCESS

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lake.force_flush()
    lake.shutdown()
    assert names(tmp_path) == sorted(f"{thread}-{number}" for thread in range(8) for number in range(5))


def test_many_hot_rows_are_committed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on rows in memory: reaching it commits without waiting for the timer."""
    monkeypatch.setattr("spanward.exporter.lake.lake_writer._MOST_HOT_ROWS", 3)
    lake = exporter(tmp_path)
    lake.export(spans("one", "two", "three"))
    with reading(tmp_path) as store:
        assert (store.hot_rows(), store.committed_sequence() > 0) == (0, True)
    lake.shutdown()


def test_a_commit_that_fails_leaves_the_rows_in_the_log(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The lake refuses a commit: force_flush says False, the rows stay queryable, the next attempt stores them."""
    lake = exporter(tmp_path)
    lake.export(spans("one"))

    def refuse(*_: Any, **__: Any) -> None:
        raise RetryableError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(SpanStore, "commit", refuse)
        assert not lake.force_flush()
    assert "stay in the intake log" in caplog.text
    assert names(tmp_path) == ["one"]
    lake.shutdown()
    assert names(tmp_path) == ["one"]


def test_spans_are_governed_under_the_folders_own_keys(tmp_path: Path) -> None:
    """Through the stock batch processor: the address is a keyed token in the table, and in no file as it is."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter(tmp_path)))
    provider.get_tracer("test").start_span(f"mail to {EMAIL}").end()
    provider.shutdown()
    (name,) = names(tmp_path)
    assert name.startswith("mail to <email:k")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in files if EMAIL.encode() in path.read_bytes()]


def test_dropped_spans_leave_no_record(tmp_path: Path) -> None:
    """Nothing to store: no log record is written."""
    lake = exporter(tmp_path)
    assert lake.export([]) is SpanExportResult.SUCCESS
    lake.shutdown()
    with reading(tmp_path) as store:
        assert store.committed_sequence() == 0


def test_configure_with_a_lake(tmp_path: Path) -> None:
    """configure(lake=...) twice in one process, as notebooks do: the folder is shared, and both have their spans."""
    first = configure(lake=tmp_path, set_global=False)
    second = configure(lake=tmp_path, set_global=False)
    first.tracer().start_span("one").end()
    first.shutdown()
    second.tracer().start_span("two").end()
    second.shutdown()
    assert names(tmp_path) == ["one", "two"]
