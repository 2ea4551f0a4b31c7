"""The cost of a call, on a few calls."""

from __future__ import annotations

import pytest

from bench.transport import ENGINES, main


def test_each_server_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: a few calls to each server. Guarantee: a line for each, and no server is left."""
    assert main(["--runs", "1", "--calls", "20", "--bytes", "100", "--in-flight", "4"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ENGINES
