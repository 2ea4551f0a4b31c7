"""A folder is not let go beneath a write: the next one to open it would remove files that are about to be committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from spanward.sidecar import scheduler
from spanward.store.clock import SystemClock
from spanward.store.compaction import CompactionSettings
from spanward.store.delta import LakeTable
from spanward.store.errors import LockedError, RetryableError
from spanward.store.span_store import SpanStore
from tests.support.crash_audit import bare_spans
from tests.support.hosts import span_batch


class SlowCommit:
    """Holds the next commit back between its files and its version, until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()
        commit = LakeTable.commit

        def held_back(table: LakeTable, *args: Any, **options: Any) -> None:
            self.reached.set()
            assert self.go_on.wait(30)
            commit(table, *args, **options)

        monkeypatch.setattr(LakeTable, "commit", held_back)


def fill(store: SpanStore, commits: int) -> None:
    """So many files of three spans each, and one more record in memory."""
    for sequence in range(1, commits + 2):
        store.append(span_batch(sequence, count=3, received_ns=SystemClock().now_ns()))
        if sequence <= commits:
            store.commit()


def commit(store: SpanStore) -> object:
    """The write of an exporter."""
    return store.commit()


def merge(store: SpanStore) -> object:
    """The write of a scheduled job, which also takes files out of the table."""
    return store.compact(CompactionSettings(min_files=2, reader_grace_seconds=0))


@pytest.mark.parametrize(("write", "spans"), [(commit, 12), (merge, 9)])
def test_close_waits_for_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[SpanStore], object], spans: int
) -> None:
    """Scenario: files of a commit or a merger are written, and the store is closed before their version is.

    Guarantee: nobody can open the folder until the version is there; no row is lost; a write after that is refused.
    """
    store = SpanStore.open(tmp_path)
    fill(store, commits=3)
    slow = SlowCommit(monkeypatch)
    with ThreadPoolExecutor(2) as threads:
        writing = threads.submit(write, store)
        assert slow.reached.wait(30)
        closing = threads.submit(store.close)
        with pytest.raises(TimeoutError):
            closing.result(0.3)
        with pytest.raises(LockedError):
            SpanStore.open(tmp_path)
        slow.go_on.set()
        writing.result(30)
        closing.result(30)
    with pytest.raises(RetryableError, match="is closed"):
        write(store)
    SpanStore.open(tmp_path).close()
    assert sum(bare_spans(tmp_path).values()) == spans


async def test_a_running_job_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: the scheduler is shut down while a job works in a thread. Guarantee: it returns after the job's end."""
    monkeypatch.setattr(scheduler, "_FIRST_RUN_SECONDS", 0.0)
    reached, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        reached.set()
        assert go_on.wait(30)
        ended.set()

    jobs = scheduler.Scheduler()
    jobs.every("compaction", 3600, lambda: asyncio.to_thread(work))
    assert await asyncio.to_thread(reached.wait, 30)
    stopping = asyncio.create_task(jobs.shutdown())
    await asyncio.sleep(0)
    assert not stopping.done()
    go_on.set()
    await asyncio.wait_for(stopping, 30)
    assert ended.is_set()
