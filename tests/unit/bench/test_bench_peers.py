"""The comparison with the peers, without the peers: its report, its table, its chart."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console

from bench import collector
from bench.collector import WholeCollector
from bench.measure import Run
from bench.peers import OURS, SERVERS, _arguments, _keep, chart, main, markdown, report, show
from bench.server import ServerError
from bench.workload import generate


def entry_of(*arguments: str) -> dict[str, object]:
    """A report of two made-up rounds, of which spanward's are twice as good as the others'."""
    options = _arguments(list(arguments))
    runs = [
        Run(name, 10, speed * (2 if name == OURS else 1), 1.0, 1.0, 0.1, 100.0, 60.0, 1.0, 2.0, 0, 0.1)
        for speed in (1_000.0, 3_000.0)
        for name in SERVERS
    ]
    return report(runs, generate(1, 16), options)


def test_the_report_for_people_and_for_the_documentation() -> None:
    """Scenario: two rounds. Guarantee: medians and ratios of each server, what was sent in words."""
    entry, console = entry_of("--spans-per-request", "1", "--connections", "64"), Console(width=200, record=True)
    show(entry, console)
    shown = console.export_text()
    assert "1 span a request, 64 in flight on 64 connections" in shown
    assert "2.00x" in shown
    heading, _, *rows = markdown([entry]).splitlines()
    assert len(rows) == len(SERVERS)
    assert "| spanward | 4,000 (2,000 to 6,000) |  |" in rows[0]
    assert "| 2,000 (1,000 to 3,000) | 2.00x |" in rows[1]
    assert all(row.count("|") == heading.count("|") for row in rows)


def test_the_chart_is_a_picture_of_every_figure() -> None:
    """Scenario: two kinds of load. Guarantee: well-formed SVG with a bar for each server, none beyond the picture."""
    picture = ET.fromstring(chart([entry_of(), entry_of("--classification", "public")]))  # noqa: S314 - our own
    bars = picture.findall("{http://www.w3.org/2000/svg}rect")
    assert len(bars) == 2 * len(SERVERS)
    assert all(float(bar.get("x", 0)) + float(bar.get("width", 0)) < 760 for bar in bars)


def test_kinds_of_load_are_kept_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scenario: one kind, another, and the first again. Guarantee: two entries, printed without measuring."""
    path = tmp_path / "peers.json"
    for arguments in ((), ("--classification", "public"), ()):
        _keep(entry_of(*arguments), path)
    assert main(["--markdown", "--output", str(path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2 + 2 * len(SERVERS)
    assert path.with_suffix(".svg").exists()


def test_calls_in_flight_follow_the_connections() -> None:
    """Scenario: defaults, many connections, both given. Guarantee: eight, one for each connection, what was given."""
    assert _arguments([]).in_flight == 8
    assert _arguments(["--connections", "64"]).in_flight == 64
    assert _arguments(["--connections", "64", "--in-flight", "4"]).in_flight == 4


def test_what_a_collector_wrote_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: a file of two messages, one span redacted. Guarantee: both numbers have to be those of the load."""
    monkeypatch.setattr(collector, "tool", lambda _: "not started")
    server = WholeCollector(tmp_path)
    first, second = generate(2, 16).requests
    redacted = ExportTraceServiceRequest.FromString(second)
    redacted.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="redaction.masked.count").value.int_value = 1
    with (server.out / "traces.pb.zst").open("wb") as file:
        for message in (first, redacted.SerializeToString()):
            frame = zstandard.compress(message)
            file.write(len(frame).to_bytes(4, "big") + frame)
    server.check(32, 1)
    with pytest.raises(ServerError, match="32 spans have come out of the Collector where 33"):
        server.check(33, 1)
    with pytest.raises(ServerError, match="1 spans are redacted where 2"):
        server.check(32, 2)
