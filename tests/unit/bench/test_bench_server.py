"""Servers under measurement, and the figures of their runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.load import Load, LoadResult
from bench.machine import cpu_model, describe
from bench.measure import Run, measure, ratio, summary
from bench.run import _arguments, show
from bench.server import Server, ServerError
from bench.sidecar import Sidecar
from bench.workload import generate

ANSWERED = LoadResult(
    accepted_spans=32, rejected_spans=0, calls=2, calls_failed=0, refusals=0, bytes=1, wall_s=1.0, spans_per_s=32.0,
    p50_ms=1.0, p99_ms=1.0, cpu_s=0.1, last_error="",
)  # fmt: skip


def run_of(server: str, speed: float) -> Run:
    return Run(server, 10, speed, 1.0, 1.0, 0.1, 100.0, 60.0, 1.0, 2.0, 0, 0.1)


class Idle(Server):
    """A server that does nothing but live and count."""

    target = "nowhere"

    def __init__(self, folder: Path) -> None:
        super().__init__(["sleep", "60"], folder / "log")
        self.checked: tuple[int, int] | None = None

    def is_ready(self) -> bool:
        return True

    def drain(self, spans: int) -> float:
        return 0.5

    def check(self, spans: int, personal: int) -> None:
        self.checked = (spans, personal)

    def bytes_on_disk(self) -> int:
        return 320

    def cpu_seconds(self) -> float:
        return super().cpu_seconds() + os.times().user


def load_of(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Load:
    """A load that comes to a result without anything being sent."""
    values = {name: getattr(ANSWERED, name) for name in LoadResult.__slots__} | changes

    def answer(*_: object, **__: object) -> LoadResult:
        sum(range(2_000_000))  # some user time for the figure to divide by
        return LoadResult(**values)

    monkeypatch.setattr(Load, "run", answer)
    return Load(Path("none"), spans=32)


def test_a_run_is_checked_against_the_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: two calls of one request. Guarantee: spans and personal data of two rounds are asked for."""
    server, workload = Idle(tmp_path), generate(1, 16)
    run = measure("idle", server, workload, load_of(monkeypatch))
    assert server.checked == (32, 2 * workload.manifest.spans_with_pii)
    assert (run.spans, run.bytes_per_span, run.drain_seconds) == (32, 10.0, 0.5)
    with pytest.raises(ServerError, match="does not run"):
        server.peak_rss_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rejected_spans": 1}, "1 rejected"),
        ({"accepted_spans": 0}, "0 spans accepted"),
        ({"calls_failed": 1, "last_error": "broken"}, "1 of 2 calls failed: broken"),
    ],
)
def test_runs_that_do_not_count(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scenario: rejected spans, none at all, failed calls. Guarantee: the run is refused."""
    with pytest.raises(ServerError, match=message):
        measure("idle", Idle(tmp_path), generate(1, 16), load_of(monkeypatch, **changes))


def test_a_server_that_does_not_run(tmp_path: Path) -> None:
    """Scenario: a server that was not started. Guarantee: an error that says so; stop is harmless."""
    sidecar = Sidecar(tmp_path)
    with pytest.raises(ServerError, match="does not run"):
        sidecar.cpu_seconds()
    assert sidecar.committed_rows() == 0
    sidecar.stop()


def test_a_server_that_cannot_start(tmp_path: Path) -> None:
    """Scenario: the data folder is a file. Guarantee: the sidecar's own words, no process left."""
    sidecar = Sidecar(tmp_path)
    sidecar.data.write_text("in the way", encoding="utf-8")
    with pytest.raises(ServerError, match="ended before it was ready"), sidecar:
        pass


def test_a_table_that_is_not_what_was_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: fewer rows, or tags, than spans sent. Guarantee: refused, with both numbers."""
    sidecar = Sidecar(tmp_path)
    answer: Callable[[str], list[dict[str, int]]] = lambda _: [{"spans": 4, "personal": 1}]  # noqa: E731 - it is typed
    monkeypatch.setattr(sidecar, "queried", answer)
    sidecar.check(4, 1)
    with pytest.raises(ServerError, match="counts 4 rows where 5"):
        sidecar.check(5, 1)
    with pytest.raises(ServerError, match="1 rows name personal data where 2"):
        sidecar.check(4, 2)


def test_the_report_has_medians_and_the_machine(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: three runs. Guarantee: the median of each figure, and where it was measured."""
    runs = [run_of("kernel", speed) for speed in (3.0, 1.0, 2.0)]
    figures = summary(runs)
    assert figures["spans_per_cpu_second"] == {"median": 2.0, "min": 1.0, "max": 3.0}
    report = {
        "machine": describe(),
        "workload": generate(1, 16).manifest.as_dict(),
        "options": {"spans_per_request": 512, "runs": 3},
        "summary": {"kernel": figures},
        "runs": runs,
    }
    show(report, Console(width=200))
    shown = capsys.readouterr().out
    assert "spans per cpu second" in shown
    assert "rows in the lake: kernel" in shown
    assert "3 runs each, 512 spans a request" in shown


def test_ratios_are_of_paired_rounds() -> None:
    """Scenario: the machine is slow in one round. Guarantee: both suffer, the ratio does not."""
    ours, theirs = (6.0, 2.0, 9.0), (3.0, 1.0, 3.0)
    runs = [
        run_of(name, speed) for pair in zip(ours, theirs, strict=True) for name, speed in zip("ab", pair, strict=True)
    ]
    assert ratio(runs, "a", "b") == 2.0


def test_a_machine_without_a_processor_name(tmp_path: Path) -> None:
    """Scenario: /proc/cpuinfo is missing. Guarantee: the architecture instead."""
    assert cpu_model(tmp_path / "missing")
    named = tmp_path / "cpuinfo"
    named.write_text("processor : 0\nmodel name\t: Fast CPU 3000\n", encoding="utf-8")
    assert cpu_model(named) == "Fast CPU 3000"


def test_options_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: no runs. Guarantee: one line that names the option."""
    with pytest.raises(SystemExit):
        _arguments(["--runs", "0"])
    assert "--runs must be above 0" in capsys.readouterr().err
