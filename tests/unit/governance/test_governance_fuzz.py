"""The fuzzer of the kernel works: it finds a difference where there is one."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from tests.fuzz import kernel as fuzz

pytest.importorskip("spanward.native", reason="the kernel is not built: `make kernel` builds it (needs Rust)")


def test_a_short_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """A moment of damaged requests: some are taken, those compared are equal."""
    assert fuzz.main(["--seconds", "1", "--seed", "7", "--compare-every", "20", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["executions"] > report["taken"] > report["compared"] > 0


def test_a_difference_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A twin that makes no rows: exit code 1, with the seed and the request."""
    nothing = pa.RecordBatch.from_pylist([])
    monkeypatch.setattr(fuzz, "build_rows", lambda *_, **__: nothing)
    assert fuzz.main(["--seconds", "5", "--seed", "7", "--compare-every", "1"]) == 1
    assert "seed 7: Python makes other rows of " in capsys.readouterr().err
