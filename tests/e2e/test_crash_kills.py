"""SIGKILL at random moments: nothing acknowledged is lost, nothing is stored twice."""

from __future__ import annotations

import random
import signal
from pathlib import Path

from tests.support.crash import Campaign
from tests.support.crash_audit import audit
from tests.support.crash_load import Ledger, make_body
from tests.support.crash_process import ChildSidecar
from tests.support.crash_transport import HttpTransport
from tests.support.running import eventually

_KILLS = 6


def test_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    """Scenario: six clients over gRPC and HTTP; the sidecar is killed six times, also while it starts.

    Clients repeat the very same body until it is acknowledged, cut connections, and repeat acknowledged bodies.

    Guarantee: after each kill, and after a drain at the end, every acknowledged span is stored once, requests without
    an answer whole or not at all; percentiles count every stored span once; Jaeger gets sampled traces whole.
    """
    campaign = Campaign(tmp_path, seed=20260101, load_seconds=(0.2, 1.2))
    figures = campaign.run(lambda so_far: so_far.kills < _KILLS)
    assert not figures.problems, "\n".join(figures.problems)
    assert figures.kills == _KILLS
    assert figures.early_kills > 0
    assert figures.acknowledged_requests > _KILLS
    assert figures.lost_answers > 0
    assert figures.repeats > 0
    assert figures.stored_spans == figures.acknowledged_spans + figures.unpromised_spans


def test_a_kill_while_the_folder_is_made(tmp_path: Path) -> None:
    """Scenario: the very first start is killed at several moments after the data folder has appeared.

    Guarantee: the next start completes what is missing, and spans that are sent to it are stored.
    """
    rng = random.Random(1)
    child = ChildSidecar(tmp_path)
    try:
        for moment in (0.0, 0.02, 0.06):
            child.start()
            eventually(child.data.exists)
            child.linger(moment)
            child.kill()
        child.start()
        child.wait_until_ready()
        body = make_body(rng)
        transport = HttpTransport()
        transport.send(body.payload, child.serving())
        transport.close()
        child.signal(signal.SIGTERM)
        assert child.wait() == 0
    finally:
        child.stop()
    assert not audit(child.data, Ledger(acknowledged={body.trace_id: body.span_ids}), drained=True).problems
