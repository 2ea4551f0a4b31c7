"""The cost of the stages, on a few spans."""

from __future__ import annotations

import json

import pytest

from bench.stages import main


@pytest.mark.parametrize(("engine", "first"), [("python", ["decode", "policy", "rows"]), ("kernel", ["kernel"])])
def test_every_stage_is_measured(engine: str, first: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: two small requests go all the way. Guarantee: each stage ran, in the order of the job."""
    if engine == "kernel":
        pytest.importorskip("spanward.native", reason="the kernel is not built: `make kernel` builds it (needs Rust)")
    options = ["--requests", "2", "--spans-per-request", "16", "--record-spans", "16", "--engine", engine, "--json"]
    assert main(options) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert [stage["name"].split(":")[0] for stage in stages] == [*first, "log", "log", "sketches", "hot rows", "lake"]
    assert all(stage["wall_us"] > 0 for stage in stages)


def test_the_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: no --json. Guarantee: a table with shares and a sum."""
    assert main(["--requests", "1", "--spans-per-request", "16"]) == 0
    shown = capsys.readouterr().out
    assert "sketches" in shown
    assert "spans/CPU-s" in shown
