"""The whole pipeline on one core and on two."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from bench.scaling import main


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="the comparison needs two cores")
def test_one_core_and_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: a short run on each. Guarantee: all spans are stored, the ratio is that of the runs."""
    kept = tmp_path / "scaling.json"
    options = ["--runs", "1", "--spans", "1", "--output", str(kept), "--json"]
    assert main(options) == 0
    report = json.loads(capsys.readouterr().out)
    one, two = report["runs"]
    assert (one["cores"], two["cores"]) == (1, 2)
    assert report["ratio"] == pytest.approx(two["spans_per_second"] / one["spans_per_second"])
