"""A table that grows: small, with the real sidecar."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import growth
from bench.growth import Cost, cost


def test_a_question_is_asked_again_and_again() -> None:
    """Scenario: a question whose answers take ever longer. Guarantee: medians without the warm-up, the mean found."""
    answers = iter(range(100))
    clock = iter(number**2 * 1_000_000 for number in range(100))
    measured = cost(lambda: next(answers), lambda: next(clock), 5)
    assert measured.found == 5.0  # of 3, 4, 5, 6, 7
    assert measured.cpu_ms == 9.0  # of 1, 5, 9, 13, 17
    assert 0 <= measured.wall_ms <= measured.p95_ms


@pytest.mark.usefixtures("generator")
def test_a_small_table_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Scenario: two rounds and one more of a small workload. Guarantee: each question finds something, fresh or not."""
    monkeypatch.setattr(growth, "REQUESTS", 4)
    kept = tmp_path / "growth.json"
    assert growth.main(["--spans", "4000", "--extra", "2000", "--calls", "2", "--output", str(kept)]) == 0
    (mark,) = json.loads(kept.read_text(encoding="utf-8"))["marks"]
    assert mark["spans"] == 2 * 4 * 512
    for state in ("fresh", "compacted"):
        costs = {name: Cost(**values) for name, values in mark[state]["costs"].items()}
        assert costs["trace by id"].found == 1.0
        assert costs["services"].found == 12.0
        assert all(costs[name].found > 0 for name in ("search", "operations", "percentiles"))
    assert "trace by id: p95 ms" in capsys.readouterr().out
