"""The whole benchmark, short: a real sidecar, a real load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.run import ENGINES, main

pytestmark = pytest.mark.usefixtures("generator")


def test_a_short_run_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: a run of a moment of each engine. Guarantee: table and clients agree, the report has figures."""
    kept = tmp_path / "results" / "latest.json"
    options = ["--runs", "1", "--seconds", "0.3", "--requests", "4", "--spans-per-request", "64", "--json"]
    assert main([*options, "--output", str(kept)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(kept.read_text(encoding="utf-8"))
    assert [run["server"] for run in report["runs"]] == list(report["summary"]) == ENGINES
    for run in report["runs"]:
        assert run["spans"] > 0
        assert run["spans"] % 64 == 0
        assert all(
            run[figure] > 0 for figure in ("spans_per_cpu_second", "spans_per_second", "bytes_per_span", "peak_rss_mib")
        )
    assert report["machine"]["cores"] > 0
