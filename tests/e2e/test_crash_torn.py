"""The end of the intake log cut off by hand after a kill."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash_audit import audit
from tests.support.crash_load import Body, Ledger, make_body
from tests.support.crash_process import ChildSidecar
from tests.support.crash_transport import HttpTransport

_BODIES = 5


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ChildSidecar]:
    """A sidecar process that does not outlive the test."""
    sidecar = ChildSidecar(tmp_path)
    yield sidecar
    sidecar.stop()


def deliver(child: ChildSidecar, bodies: list[Body]) -> list[int]:
    """Send one after the other, so that each has a record of its own; the size of the newest segment after each."""
    transport = HttpTransport()
    sizes: list[int] = []
    for body in bodies:
        transport.send(body.payload, child.serving())
        sizes.append(newest_segment(child.data).stat().st_size)
    transport.close()
    return sizes


def newest_segment(data: Path) -> Path:
    """The segment that is written to."""
    return max((data / "intake" / "traces").glob("*.log"))


@pytest.mark.parametrize(("lost", "cut"), [(1, 1), (2, 50)])
def test_a_torn_tail_costs_what_is_behind_it(child: ChildSidecar, lost: int, cut: int) -> None:
    """Scenario: bytes are cut off the last record, or one record and the end of the one before, after SIGKILL.

    Guarantee: the sidecar starts, says that it is degraded and where; every record before the tear is stored once, and
    what was torn can be sent again.
    """
    rng = random.Random(lost)
    bodies = [make_body(rng) for _ in range(_BODIES)]
    kept, torn = bodies[:-lost], bodies[-lost:]
    child.start(commit_seconds=3600)
    child.wait_until_ready()
    sizes = deliver(child, bodies)
    child.kill()
    segment = newest_segment(child.data)
    os.truncate(segment, sizes[-lost] - cut)
    child.start()
    child.wait_until_ready()
    status = child.status()
    assert (status["status"], status["ready"]) == ("degraded", True)
    reason = status["components"]["intake/traces"]["reason"]
    assert str(segment) in reason
    assert f"offset {sizes[-lost - 1]}" in reason
    deliver(child, torn)
    child.signal(signal.SIGTERM)
    assert child.wait() == 0
    ledger = Ledger(acknowledged={body.trace_id: body.span_ids for body in kept + torn})
    result = audit(child.data, ledger, drained=True)
    assert not result.problems
    assert result.stored == result.acknowledged
