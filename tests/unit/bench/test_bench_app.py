"""The benchmark of what tracing costs an application."""

from __future__ import annotations

import pytest

from bench import app
from bench.app import PYTHON, STOCK, Setting, compare, measure


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_run_counts_what_the_sink_took(protocol: str) -> None:
    """A short run with the policy: a figure, for every span arrived and none with the address."""
    assert measure(PYTHON, Setting(100, protocol, "gzip")) > 0


def test_a_leak_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter without a policy under the name of one with: the run is refused."""
    monkeypatch.setattr(app, "_ENGINES", {STOCK: "kernel"})
    with pytest.raises(SystemExit, match="the address left the process"):
        measure(STOCK, Setting(100, "http/protobuf", "none"))


def test_variants_are_compared_round_by_round(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rounds on a machine that slows down: shares are of the same round's stock."""
    figures = iter([10.0, 40.0, 20.0, 30.0, 80.0, 40.0])
    monkeypatch.setattr(app, "VARIANTS", [PYTHON, STOCK, app.KERNEL])
    monkeypatch.setattr(app, "measure", lambda *_: next(figures))
    result = compare(Setting(1, "grpc", "none"), 2)
    assert result[app.KERNEL] == {"us_per_span": 30.0, "least": 20.0, "most": 40.0, "of_stock": 0.5}
