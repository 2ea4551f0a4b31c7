"""Scheduled jobs: they run again after a failure, never overlap, and none is left behind."""

from __future__ import annotations

import asyncio

import pytest

from spanward.sidecar import scheduler
from spanward.store.errors import StoreError


async def test_a_failing_job_is_tried_again(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Scenario: the first run fails as planned, the second by a bug, the third succeeds.

    Guarantee: all three run; the planned failure is one line, the bug has its traceback.
    """
    monkeypatch.setattr(scheduler, "_FIRST_RUN_SECONDS", 0.0)
    outcomes = iter([StoreError("the lake is away"), ValueError("a bug"), None])
    done = asyncio.Event()

    async def job() -> None:
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome
        done.set()

    jobs = scheduler.Scheduler()
    jobs.every("retention", 0.001, job)
    await asyncio.wait_for(done.wait(), 5)
    await jobs.shutdown()
    await jobs.shutdown()
    assert "the lake is away" in caplog.text
    assert "Traceback" in caplog.text


async def test_runs_never_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: a job takes longer than its interval. Guarantee: the next run waits for its end."""
    monkeypatch.setattr(scheduler, "_FIRST_RUN_SECONDS", 0.0)
    inside = most = runs = 0
    done = asyncio.Event()

    async def job() -> None:
        nonlocal inside, most, runs
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.01)
        inside -= 1
        runs += 1
        if runs == 3:
            done.set()

    jobs = scheduler.Scheduler()
    jobs.every("slow", 0.0001, job)
    await asyncio.wait_for(done.wait(), 5)
    await jobs.shutdown()
    assert most == 1
