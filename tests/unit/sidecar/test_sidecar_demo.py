"""The demo's own checks: each must notice when what it claims does not hold."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich.console import Console
from typer.testing import CliRunner

from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.sidecar.cli import app
from spanward.sidecar.component import Host
from spanward.sidecar.demo import hotrod, leak, resources, run, show
from spanward.sidecar.demo.processes import DemoError, children, free_ports
from spanward.sidecar.demo.resources import Resources, find_resources
from spanward.sidecar.demo.state import Endpoints, Run
from spanward.store.batch import Batch, Signal
from spanward.store.errors import ConfigurationError
from spanward.store.records import RequestEntry, SpansRecord, encode
from spanward.store.rows import build_rows
from spanward.store.span_store import SpanStore
from tests.support.hosts import close_host, make_host

RECORDING = Path(__file__).parents[2] / "data" / "hotrod.otlp"


def recorded() -> list[ExportTraceServiceRequest]:
    """A few requests of the recording."""
    return [ExportTraceServiceRequest.FromString(body) for body in list(hotrod.read_requests(RECORDING))[:8]]


def test_equal_traffic_is_complete() -> None:
    """Scenario: what was sent came back. Guarantee: complete, every span equal."""
    comparison = hotrod.compare(recorded(), recorded())  # type: ignore[arg-type]  # both messages have resource_spans
    assert comparison.complete
    assert comparison.equal == hotrod.census(recorded()).spans > 0


def test_a_lost_a_foreign_and_a_changed_span_are_noticed() -> None:
    """Scenario: one span is lost, one foreign, one renamed. Guarantee: each is counted; not complete."""
    received = recorded()
    spans = [
        (scope_spans.spans, index)
        for message in received
        for resource_spans in message.resource_spans
        for scope_spans in resource_spans.scope_spans
        for index in range(len(scope_spans.spans))
    ]
    spans[1][0][spans[1][1]].name = "something else"
    spans[0][0][spans[0][1]].span_id = b"\1" * 8
    comparison = hotrod.compare(recorded(), received)  # type: ignore[arg-type]  # as above
    assert (comparison.missing, comparison.extra, len(comparison.differences)) == (1, 1, 1)
    assert not comparison.complete


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("<email:k1:9b74c9897bac770ffc029102a200c5de>", True),
        ("mail <card> now", True),
        ("<email:k1:00ff>", False),
        ("<b>", False),
        ("other", False),
    ],
)
def test_only_a_token_excuses_a_difference(text: str, counted: bool) -> None:
    """Scenario: a value came back as a token, or as another text. Guarantee: only the first is the policy's."""
    received = recorded()
    received[0].resource_spans[0].scope_spans[0].spans[0].attributes[0].value.string_value = text
    comparison = hotrod.compare(recorded(), received)  # type: ignore[arg-type]  # as above
    assert comparison.complete is counted
    assert comparison.changed.total() == counted


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with a store and an intake log, holding one raw value in each place."""
    host, log = make_host(tmp_path / "data")
    for sequence, text in ((1, "in the lake planted-1@example.com"), (2, "in the log ?to=planted-2%40example.com")):
        record = SpanRecord(
            "ab" * 16, f"{sequence:016x}", "n", 1, 2, ResourceRecord(), ScopeRecord(), verdict=Verdict()
        )
        record.attributes["note"] = text
        rows = build_rows([record], tenant="default", received_at_ns=host.clock.now_ns())
        if sequence == 1:
            host.store.append(Batch(Signal.TRACES, rows, 1))
            host.store.commit()
        else:
            entry = RequestEntry("default", "00" * 16, 0, 1, host.clock.now_ns(), 0, "")
            log.append(encode(SpansRecord(rows, (entry,))))
    (host.data / "stray.txt").write_text('{"name": "planted-3 \\"quoted\\""}')
    yield host
    close_host(host, log)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("planted-1@example.com", "table spans"),
        ("planted-2@example.com", "intake log"),
        ('planted-3 "quoted"', "stray.txt"),
    ],
)
def test_a_raw_value_is_found_wherever_it_lies(host: Host, value: str, place: str) -> None:
    """Scenario: a value in an encrypted table, in the encrypted log percent-encoded, in a file as JSON.

    Guarantee: found, with its place and without the value.
    """
    report = leak.search(host.store, [value])
    assert any(place in found for found in report.found), report
    assert not any(value in found for found in report.found)


def test_what_is_not_there_is_not_found(host: Host) -> None:
    """Scenario: a value that nobody sent. Guarantee: an empty result that says how much was read."""
    report = leak.search(host.store, ["absent@example.com"])
    assert report.found == ()
    assert report.rows >= 2
    assert report.files >= 3


def test_a_child_that_ends_is_told_with_its_last_line(tmp_path: Path) -> None:
    """Scenario: a process of the demo dies at start. Guarantee: its name, code, last words and log."""
    with children(tmp_path) as group:
        child = group.start("dying", [sys.executable, "-c", "print('no room'); raise SystemExit(3)"])
        with pytest.raises(DemoError, match=r"dying ended with code 3: no room .*dying\.log"):
            child.wait_until(lambda: False)


def test_children_end_with_the_block(tmp_path: Path) -> None:
    """Scenario: two processes, one to be kept. Guarantee: the other one is gone."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with children(tmp_path) as group:
        ending, kept = group.start("ending", command), group.start("kept", command)
        kept.keep = True
    assert ending.process.returncode is not None
    assert kept.process.poll() is None
    kept.process.kill()
    kept.process.wait()


def test_a_taken_port_is_replaced() -> None:
    """Scenario: the documented port is taken. Guarantee: another one, and never the same twice."""
    first, second = free_ports([0, 0])
    assert first != second


def test_the_demos_files_are_found() -> None:
    """Scenario: a source checkout. Guarantee: service and recording."""
    found = find_resources()
    assert (found.checkout / "drive.py").is_file()
    assert found.hotrod.stat().st_size > 700_000


def test_the_demo_says_which_packages_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: only the sidecar is installed. Guarantee: one line with what is missing and how to install it."""
    asked: list[str] = []

    def distribution(name: str) -> None:
        asked.append(name)
        if name in {"fastapi", "polars"}:
            raise PackageNotFoundError(name)

    monkeypatch.setattr(resources, "distribution", distribution)
    result = CliRunner().invoke(app, ["demo"])
    assert (result.exit_code, len(asked) > 2) == (1, True)
    assert "the demo needs fastapi, polars; install with: pip install 'spanward[demo]'" in result.stderr


def test_a_claim_that_does_not_hold_fails_the_demo(tmp_path: Path) -> None:
    """Scenario: no claim, one that holds, one of two that does not. Guarantee: only the second is a success."""
    screen = io.StringIO()
    made = Run(Console(file=screen, width=120), tmp_path, tmp_path, Endpoints.choose(), Resources(tmp_path, tmp_path))
    assert not made.verified
    made.check("good", True, "seen")
    show.verdict(made, pid=None)
    assert made.verified
    made.check("bad", False, "not [seen]")
    show.verdict(made, pid=7)
    assert not made.verified
    text = screen.getvalue()
    assert "all verified" in text
    assert "1 claims do not hold" in text
    assert "kill 7" in text


def test_the_demo_wants_an_empty_folder(tmp_path: Path) -> None:
    """Scenario: --data holds something. Guarantee: refused by name, nothing touched."""
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="empty folder"):
        run.run_demo(Console(file=io.StringIO()), keep=False, data=tmp_path, requests=10)
    assert (tmp_path / "mine.txt").exists()


def test_the_demo_keeps_every_promise(tmp_path: Path) -> None:
    """Scenario: the command, small, with real processes. Guarantee: every claim holds; data where asked."""
    data = tmp_path / "data"
    result = CliRunner().invoke(app, ["demo", "--requests", "24", "--data", str(data), "--json"])
    document = json.loads(result.stdout)
    assert [claim for claim in document["claims"] if not claim["holds"]] == []
    assert (result.exit_code, document["verified"], len(document["claims"]) > 12) == (0, True, True)
    store = SpanStore.open(data, read_only=True)
    assert store.snapshot(None).count_rows() > 1582
    store.close()
