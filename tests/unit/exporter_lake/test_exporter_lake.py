"""The lake exporter: commits in the background, waits when memory is full, loses nothing when the disk refuses."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spanward.exporter.lake.config import LakeExporterConfig
from spanward.exporter.lake.factory import factory
from spanward.exporter.lake.lake import LakeExporter
from spanward.sidecar.component import Consumer, HasJobs, Host
from spanward.store.batch import Batch
from spanward.store.clock import ManualClock
from spanward.store.errors import ConfigurationError, PermanentError, RetryableError
from spanward.store.span_store import CommitResult, SpanStore
from tests.support.hosts import close_host, make_host, span_batch

SELDOM = LakeExporterConfig(commit_interval_seconds=3600)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def host(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Host]:
    made, log = make_host(tmp_path / "data", clock=clock, name="exporter/lake")
    yield made
    close_host(made, log)


def logged(sequence: int, host: Host, *, count: int = 1) -> Batch:
    return span_batch(sequence, count=count, received_ns=host.clock.now_ns())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another task or thread does; the test's timeout is the bound."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in a thread
        await asyncio.sleep(0.001)


def stored(host: Host) -> int:
    return host.store.snapshot().count_rows()


async def test_failing_commit_is_tried_again(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk refuses twice: spans stay readable, nothing counts as committed, health says why, then all is well."""
    exporter = LakeExporter(LakeExporterConfig(commit_interval_seconds=0.01), host)
    left = ["No space left", "a bug"]
    real = SpanStore.commit

    def refuse(self: SpanStore, **options: Any) -> CommitResult:
        if not left:
            return real(self, **options)
        raise RetryableError(left.pop(0)) if len(left) == 2 else ZeroDivisionError(left.pop(0))

    monkeypatch.setattr(SpanStore, "commit", refuse)
    reports: list[str] = []
    monkeypatch.setattr(exporter, "_host", _with_report(host, reports))
    await exporter.start()
    await exporter.consume(logged(1, host))
    assert stored(host) == 1
    await until(lambda: exporter.committed() == 1)
    assert [report.partition(":")[0] for report in reports] == ["degraded", "degraded", "ok"]
    assert "No space left" in reports[0]
    assert "ZeroDivisionError: a bug" in reports[1]
    assert (host.store.hot_rows(), stored(host)) == (0, 1)
    assert host.metrics.get_sample_value("spanward_lake_failed_commits_total", {"exporter": "lake"}) == 2
    assert host.metrics.get_sample_value("otelcol_exporter_sent_spans_total", {"exporter": "lake"}) == 1
    await exporter.shutdown()


async def test_shutdown_with_a_refusing_disk(
    host: Host, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be committed at shutdown stays in the log: shutdown ends all the same and says how much."""
    exporter = LakeExporter(SELDOM, host)
    await exporter.start()
    await exporter.consume(logged(1, host, count=3))

    def refuse(_self: SpanStore, **_options: Any) -> CommitResult:
        raise RetryableError("No space left")

    monkeypatch.setattr(SpanStore, "commit", refuse)
    await exporter.shutdown()
    assert "3 spans are not in the lake yet" in caplog.text
    assert exporter.committed() == 0


async def test_full_memory_waits(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is full and commits take their time: consume waits until a commit made room, and loses nothing."""
    exporter = LakeExporter(LakeExporterConfig(commit_interval_seconds=3600, max_hot_mib=1), host)
    gate = threading.Event()
    real = SpanStore.commit

    def slow(self: SpanStore, **options: Any) -> CommitResult:
        gate.wait()
        return real(self, **options)

    monkeypatch.setattr(SpanStore, "commit", slow)
    await exporter.start()
    big = logged(1, host, count=10_000)
    assert big.rows.nbytes > 1 << 20
    await exporter.consume(big)
    waiting = asyncio.create_task(exporter.consume(logged(2, host)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    assert host.store.hot_rows() == 10_000
    gate.set()
    await waiting
    await exporter.shutdown()
    assert (exporter.committed(), host.store.hot_rows(), stored(host)) == (2, 0, 10_001)


async def test_shutdown_frees_who_waits(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is full, commits fail, and the sidecar stops: who waits in consume is told to try again later."""
    exporter = LakeExporter(LakeExporterConfig(commit_interval_seconds=3600, max_hot_mib=1), host)

    def refuse(_self: SpanStore, **_options: Any) -> CommitResult:
        raise RetryableError("No space left")

    monkeypatch.setattr(SpanStore, "commit", refuse)
    await exporter.start()
    await exporter.consume(logged(1, host, count=10_000))
    waiting = asyncio.create_task(exporter.consume(logged(2, host)))
    await until(lambda: exporter._failures > 0)
    await exporter.shutdown()
    with pytest.raises(RetryableError, match="shutting down"):
        await waiting


async def test_backoff_grows_to_a_minute(host: Host) -> None:
    """Each failure doubles the pause, up to a minute; an interval beyond that stays as it is."""
    exporter = LakeExporter(LakeExporterConfig(commit_interval_seconds=5), host)
    pauses = []
    for failures in (0, 1, 2, 3, 4, 5_000):
        exporter._failures = failures
        pauses.append(exporter._pause())
    assert pauses == [5, 10, 20, 40, 60, 60]
    exporter = LakeExporter(SELDOM, host)
    exporter._failures = 3
    assert exporter._pause() == 3600


async def test_one_exporter_a_lake(host: Host) -> None:
    """A second lake exporter in the same data folder is refused at start; after the first one's shutdown it may."""
    first, second = LakeExporter(SELDOM, host), LakeExporter(SELDOM, replace(host, identifier="lake/2"))
    await first.start()
    with pytest.raises(ConfigurationError, match="lake/2: lake writes the table spans"):
        await second.start()
    await second.shutdown()
    await first.shutdown()
    await second.start()
    await second.shutdown()


async def test_what_is_no_batch_of_spans(host: Host) -> None:
    """A batch that was not logged is refused for good."""
    exporter = LakeExporter(SELDOM, host)
    await exporter.start()
    with pytest.raises(PermanentError):
        await exporter.consume(logged(0, host))
    await exporter.shutdown()


@pytest.mark.parametrize(
    "options", [{"commit_rows": 0}, {"commit_interval_seconds": 0}, {"max_hot": 5}, {"reader_grace_seconds": -1}]
)
def test_wrong_options(options: dict[str, float]) -> None:
    """Values out of range and unknown keys are refused."""
    with pytest.raises(ValidationError):
        LakeExporterConfig.model_validate(options)


async def test_commit_by_time(host: Host) -> None:
    """A single span is in a file after the interval, and readable from the moment it was consumed."""
    exporter = LakeExporter(LakeExporterConfig(commit_interval_seconds=0.01), host)
    await exporter.start()
    await exporter.consume(logged(1, host))
    assert stored(host) == 1
    await until(lambda: exporter.committed() == 1)
    assert host.store.hot_rows() == 0
    await exporter.shutdown()


async def test_commit_by_rows(host: Host) -> None:
    """Enough rows are committed long before the interval; few wait."""
    exporter = LakeExporter(LakeExporterConfig(commit_interval_seconds=3600, commit_rows=10), host)
    await exporter.start()
    for sequence in range(1, 6):
        await exporter.consume(logged(sequence, host, count=4))
    await until(lambda: host.store.hot_rows() < 10)
    assert exporter.committed() >= 2
    await exporter.shutdown()
    assert (exporter.committed(), host.store.hot_rows(), stored(host)) == (5, 0, 20)


async def test_record_without_rows(host: Host) -> None:
    """A record all of whose spans the policy dropped counts as committed too: the log is not held back by it."""
    exporter = LakeExporter(SELDOM, host)
    await exporter.start()
    await exporter.consume(logged(1, host, count=0))
    await exporter.shutdown()
    assert exporter.committed() == 1


async def test_restart_goes_on(host: Host) -> None:
    """A new exporter knows what the lake has, and a replay from there on adds what is missing once."""
    first = LakeExporter(SELDOM, host)
    await first.start()
    await first.consume(logged(1, host))
    await first.shutdown()
    await first.shutdown()
    second = LakeExporter(SELDOM, host)
    await second.start()
    assert second.committed() == 1
    for sequence in (1, 2):
        await second.consume(logged(sequence, host))
    await second.shutdown()
    assert stored(host) == 2


async def test_jobs(host: Host, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    """The scheduled jobs merge small files and remove what has expired, and say so; 0 turns them off."""
    caplog.set_level("INFO")
    exporter = LakeExporter(LakeExporterConfig(compaction_min_files=2, reader_grace_seconds=0), host)
    await exporter.start()
    for sequence in (1, 2, 3):
        await exporter.consume(logged(sequence, host))
        host.store.commit()
    jobs = {name: run for name, _, run in exporter.jobs()}
    await jobs["compaction"]()
    assert "3 files became 1" in caplog.text
    clock.advance(days=30)
    await jobs["retention"]()
    assert "3 rows left the tables and 0 memory; 4 files removed" in caplog.text
    assert list((host.data / "lake" / "spans").rglob("*.parquet")) == []
    await exporter.shutdown()
    off = LakeExporter(LakeExporterConfig(compaction_interval_seconds=0, retention_interval_seconds=0), host)
    assert list(off.jobs()) == []


async def test_factory(host: Host) -> None:
    """The factory makes a consumer with jobs."""
    made = factory.create(factory.config(), host)
    assert isinstance(made, Consumer)
    assert isinstance(made, HasJobs)


def _with_report(host: Host, reports: list[str]) -> Host:
    return replace(host, report=lambda condition, why: reports.append(f"{condition}: {why}"))
