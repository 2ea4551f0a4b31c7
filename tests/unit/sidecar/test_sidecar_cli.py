"""The command line: answers for people and programs, and one line when something is wrong."""

from __future__ import annotations

import io
import json
import re
import socket
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from rich.console import Console
from typer.testing import CliRunner, Result

from spanward.sidecar.cli import app
from spanward.sidecar.console.waterfall import render
from spanward.sidecar.demo.processes import free_ports
from spanward.sidecar.demo.state import Endpoints
from spanward.store.clock import ManualClock, SystemClock
from spanward.store.span_store import SpanStore
from tests.support.hosts import close_host, make_host, span_batch

runner = CliRunner()


def run(*arguments: object, code: int = 0) -> Result:
    """Run a command and hold it to its exit code."""
    result = runner.invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert result.exit_code == code, (result.output, result.exception)
    if code:
        assert "Traceback" not in result.output
    return result


def as_json(*arguments: object) -> Any:
    """What a command prints for programs."""
    return json.loads(run(*arguments, "--json").stdout)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder with five spans of two traces in the lake."""
    folder = tmp_path / "data"
    host, log = make_host(folder)
    now = SystemClock().now_ns()
    host.store.append(span_batch(1, count=3, service="cart", received_ns=now))
    host.store.append(span_batch(2, count=2, service="shop", received_ns=now))
    host.store.commit()
    close_host(host, log)
    return folder


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The default configuration on ports that nobody has."""
    file = tmp_path / "free.yaml"
    file.write_text(yaml.safe_dump(Endpoints(*(f"127.0.0.1:{port}" for port in free_ports([0] * 5))).config()))
    return file


@contextmanager
def answering(config: Path) -> Generator[None, None, None]:
    """Somebody who answers on the health endpoint as a sidecar does."""
    host, _, port = yaml.safe_load(config.read_text())["extensions"]["health"]["endpoint"].rpartition(":")

    class Status(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"status": "ok"}')

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's own name
            """Say nothing."""

    with ThreadingHTTPServer((host, int(port)), Status) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_help_names_every_command() -> None:
    """Scenario: a new user types spanward --help. Guarantee: every command with a line of help."""
    text = run("--help").stdout
    for name in ("sidecar", "demo", "query", "percentiles", "trace", "retention", "doctor", "status", "export"):
        assert name in text


def test_version() -> None:
    """Scenario: --version. Guarantee: name and number."""
    assert re.fullmatch(r"spanward \d+\.\d+\.\d+\n", run("--version").stdout)


def test_query_prints_rows(data: Path) -> None:
    """Scenario: SQL over the lake, for people and programs. Guarantee: same rows."""
    sql = "select service_name, count(*) as n from spans group by 1 order by 1"
    assert as_json("query", sql, "--data", data) == [{"service_name": "cart", "n": 3}, {"service_name": "shop", "n": 2}]
    assert "cart" in run("query", sql, "--data", data).stdout


def test_values_are_printed_as_they_are(data: Path) -> None:
    """Scenario: values that look like markup or steer a terminal. Guarantee: shown, neither obeyed nor lost."""
    sql = "select '[/x] [red]b[/] :smile:' as \"[/y]\", chr(27) || '[31mred' || chr(10) || 'two' as c"
    printed = run("query", sql, "--data", data).stdout
    assert "[/x] [red]b[/] :smile:" in printed
    assert "[/y]" in printed
    assert "\\x1b[31mred" in printed
    assert "\x1b" not in printed


def test_wide_rows_stand_below_each_other(data: Path) -> None:
    """Scenario: more columns than the terminal has room for. Guarantee: every name and value can be read whole."""
    printed = run("query", "select * from spans where service_name = 'shop'", "--data", data).stdout
    lines = [line.split() for line in printed.splitlines()]
    assert lines.count(["service_name", "shop"]) == 2
    assert ["row", "2"] in lines
    assert ["http_response_status_code", "-"] in lines
    assert "row 1" not in run("query", "select service_name, name from spans", "--data", data).stdout


def test_a_waterfall_does_not_steer_the_terminal() -> None:
    """Scenario: a span's name holds an escape sequence and a line break. Guarantee: one line, and no escape."""
    fields = {"span_id": "1", "parent_span_id": None, "service_name": "s", "name": "a\x1b[31m\nb", "status_code": "ok"}
    numbers = {"start_unix_nano": 1, "duration_ns": 1, "pii": [], "quality_violations": []}
    console = Console(width=100, file=io.StringIO())
    console.print(render("ab" * 16, pa.Table.from_pylist([{**fields, **numbers}]), width=100))
    assert isinstance(console.file, io.StringIO)
    assert "s: a\\x1b[31m b" in console.file.getvalue()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("selec 1", "syntax"),
        ("select nope from spans", "nope"),
        ("copy spans to '/tmp/x'", ""),
        ("select * from read_csv('/etc/passwd')", ""),
    ],
)
def test_bad_sql_is_one_line(data: Path, sql: str, words: str) -> None:
    """Scenario: wrong or forbidden SQL. Guarantee: exit code 1 and the reason, no traceback."""
    assert words in run("query", sql, "--data", data, code=1).stderr


def test_percentiles_of_each_operation(data: Path) -> None:
    """Scenario: spans of one millisecond. Guarantee: counts are exact, quantiles within a percent."""
    rows = as_json("percentiles", "--data", data)
    assert [(row["service"], row["count"]) for row in rows] == [("cart", 3), ("shop", 2)]
    assert rows[0]["p50_ms"] == pytest.approx(1.0, rel=0.01)
    assert [row["service"] for row in as_json("percentiles", "--service", "shop", "--data", data)] == ["shop"]
    assert "p99" in run("percentiles", "--data", data).stdout


def test_trace_is_shown_or_said_to_be_missing(data: Path) -> None:
    """Scenario: a stored trace, an unknown one, a malformed id. Guarantee: waterfall, or one line that says which."""
    stored = f"{1:016x}{1:016x}"
    assert len(as_json("trace", stored, "--data", data)) == 3
    assert "cart: work" in run("trace", stored.upper(), "--data", data).stdout
    assert "no trace" in run("trace", "ab" * 16, "--data", data, code=1).stderr
    assert "32 hex digits" in run("trace", "xyz", "--data", data, code=1).stderr


def test_retention_plan_and_dry_run(data: Path) -> None:
    """Scenario: nothing has expired. Guarantee: the plan shows the partition, the dry run removes nothing."""
    plan = as_json("retention", "plan", "--data", data)
    assert [(part["retention"], part["rows"], part["state"]) for part in plan] == [("30d", 5, "kept")]
    assert as_json("retention", "run", "--dry-run", "--data", data)["partitions"] == []
    run("retention", "run", "--data", data)
    assert "30d" in run("retention", "plan", "--data", data).stdout
    assert as_json("query", "select count(*) as n from spans", "--data", data) == [{"n": 5}]


def test_retention_says_what_it_removes(tmp_path: Path) -> None:
    """Scenario: a partition has expired; a dry run, the run, another one. Guarantee: each says in words what it did."""
    clock = ManualClock()
    store = SpanStore.open(tmp_path / "data", clock=clock)
    store.append(span_batch(1, count=3, received_ns=clock.now_ns()))
    store.commit()
    store.close()
    dry, wet, again = (
        run("retention", "run", *options, "--data", tmp_path / "data").stdout for options in (["--dry-run"], [], [])
    )
    for said in (dry, wet):
        assert re.search(r"spans +2026-01-01 +30d +internal +3 +1 ", said)
    assert "would be removed: 3 rows in 1 files" in dry
    assert "nothing was changed" in dry
    assert "removed from the tables: 3 rows in 1 files" in wet
    assert "1 wait for their readers" in wet
    assert "removed from the tables: 0 rows" in again


def test_retention_runs_beside_a_sidecar(data: Path) -> None:
    """Scenario: a sidecar holds the folder. Guarantee: retention runs all the same, and removes nothing too early."""
    store = SpanStore.open(data)
    try:
        report = as_json("retention", "run", "--data", data)
    finally:
        store.close()
    assert (report["rows"], report["verified"]) == (0, True)


def test_the_audit_trail_is_shown_and_checked(data: Path) -> None:
    """Scenario: a registration, then a changed entry. Guarantee: shown and verified; then it is named, code 1."""
    store = SpanStore.open(data)
    store.compliance.register("event-1", privacy_tags=["health"])
    store.close()
    (entry,) = as_json("audit", "show", "--data", data)
    assert (entry["action"], entry["details"]["subject"]) == ("registration.add", "event-1")
    assert "registration.add" in run("audit", "show", "--data", data).stdout
    assert as_json("audit", "verify", "--data", data) == {"verified": True, "entries": 1}
    assert "all seals hold" in run("audit", "verify", "--data", data).stdout
    with sqlite3.connect(data / "compliance.sqlite") as database:
        database.execute("UPDATE audit SET actor = 'somebody else'")
    database.close()
    assert "1" in run("audit", "verify", "--data", data, code=1).stderr


def test_status_counts_the_folder(data: Path) -> None:
    """Scenario: no sidecar runs. Guarantee: figures of the folder, and said that nobody answers."""
    status = as_json("status", "--data", data, "--health", "127.0.0.1:9")
    assert (status["spans_in_lake"], status["spans_not_yet_in_lake"], status["sidecar"]["running"]) == (5, 0, False)
    assert "does not answer" in run("status", "--data", data, "--health", "127.0.0.1:9").stdout


@pytest.mark.parametrize("form", ["jsonl.zst", "parquet"])
def test_export_writes_a_file_once(data: Path, tmp_path: Path, form: str) -> None:
    """Scenario: export twice to one path. Guarantee: all rows; an existing file is not overwritten unasked."""
    path = tmp_path / f"spans.{form}"
    assert as_json("export", path, "--format", form, "--data", data)["rows"] == 5
    assert "--force" in run("export", path, "--format", form, "--data", data, code=1).stderr
    assert "5 spans" in run("export", path, "--format", form, "--data", data, "--force").stdout
    assert (path.stat().st_mode & 0o077) == 0


@pytest.mark.parametrize(
    "command", [["query", "select 1"], ["percentiles"], ["status"], ["retention", "plan"], ["trace", "ab" * 16]]
)
def test_a_missing_folder_is_named(tmp_path: Path, command: list[str]) -> None:
    """Scenario: --data leads nowhere. Guarantee: the path and what to do, and nothing is created."""
    missing = tmp_path / "nowhere"
    assert "no data folder" in run(*command, "--data", missing, code=1).stderr
    assert not missing.exists()


def test_print_config_is_yaml() -> None:
    """Scenario: spanward sidecar --print-config. Guarantee: YAML with all defaults, nothing started."""
    document = yaml.safe_load(run("sidecar", "--print-config").stdout)
    assert document["service"]["pipelines"]["traces"]["processors"] == ["policy"]
    assert "commit_interval_seconds" in document["exporters"]["lake"]


def test_a_printed_config_can_be_read_again(config: Path) -> None:
    """Scenario: an option longer than the terminal is wide, with what looks like emoji. Guarantee: printed as it is."""
    document = yaml.safe_load(config.read_text())
    rule = {"pattern": "customer :smile: " + "[name] " * 60, "action": "mask"}
    document["processors"] = {"policy": {"policy": {"privacy": {"key_rules": [rule]}}}}
    config.write_text(yaml.safe_dump(document))
    printed = run("sidecar", "--config", config, "--print-config").stdout
    policy = yaml.safe_load(printed)["processors"]["policy"]["policy"]
    assert policy["privacy"]["key_rules"][0]["pattern"] == rule["pattern"]
    config.write_text(printed)
    assert run("sidecar", "--config", config, "--print-config").stdout == printed


def test_a_bad_config_is_one_line(tmp_path: Path) -> None:
    """Scenario: a mistyped key. Guarantee: file and key, exit code 1, no traceback."""
    file = tmp_path / "c.yaml"
    file.write_text("servis: {}\n")
    assert "servis" in run("sidecar", "--config", file, code=1).stderr


def test_an_unwritable_folder_is_named() -> None:
    """Scenario: --data where nobody may write. Guarantee: one line with the path, no traceback."""
    assert "/proc/spanward" in run("sidecar", "--data", "/proc/spanward", code=1).stderr


def test_doctor_tells_a_running_sidecar_from_a_stranger(tmp_path: Path, config: Path) -> None:
    """Scenario: free ports, then a stranger on one, then a sidecar. Guarantee: only the stranger is trouble."""
    new = tmp_path / "new"

    def state(code: int = 0) -> dict[str, Any]:
        text = run("doctor", "--config", config, "--data", new, "--json", code=code).stdout
        return {finding["subject"]: finding for finding in json.loads(text)}

    health, metrics = "extensions.health.endpoint", "service.telemetry.metrics.endpoint"
    assert {state()[name]["state"] for name in (health, metrics)} == {"ok"}
    port = int(yaml.safe_load(config.read_text())["service"]["telemetry"]["metrics"]["endpoint"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        taken = state(code=1)[metrics]
        assert (taken["state"], taken["remedy"]) == ("broken", "free the port, or set another endpoint")
        with answering(config):
            assert {state()[name]["state"] for name in (health, metrics)} == {"ok"}


@pytest.mark.parametrize("endpoint", ["127.0.0.1:99999", "127.0.0.1", "nowhere.invalid:1"])
def test_doctor_names_an_endpoint_that_is_none(tmp_path: Path, config: Path, endpoint: str) -> None:
    """Scenario: a port out of range, none at all, a host that does not exist. Guarantee: broken, and no traceback."""
    document = yaml.safe_load(config.read_text())
    document["service"]["telemetry"]["metrics"]["endpoint"] = endpoint
    config.write_text(yaml.safe_dump(document))
    found = json.loads(run("doctor", "--config", config, "--data", tmp_path / "new", "--json", code=1).stdout)
    assert [f["subject"] for f in found if f["state"] == "broken"] == ["service.telemetry.metrics.endpoint"]


def test_doctor_names_what_was_set_aside(data: Path, config: Path) -> None:
    """Scenario: a damaged segment of the log was set aside. Guarantee: a note with its path, and nothing is broken."""
    segment = data / "intake" / "traces" / "00000000000000000001.log.damaged"
    segment.write_bytes(b"x")
    (finding,) = [f for f in as_json("doctor", "--config", config, "--data", data) if f["subject"] == "intake log"]
    assert finding["state"] == "note"
    assert str(segment) in finding["detail"]


def test_doctor_finds_what_is_wrong(tmp_path: Path, data: Path, config: Path) -> None:
    """Scenario: a good folder, then one with a broken keyring and a broken config. Guarantee: exit code says which."""
    findings = {finding["subject"]: finding for finding in as_json("doctor", "--config", config, "--data", data)}
    assert findings["store"]["state"] == "ok"
    assert findings["python"]["state"] == "ok"
    for path in (data / "keys").glob("*.json"):
        path.chmod(0o644)
    broken = run("doctor", "--config", config, "--data", data, "--json", code=1)
    assert "chmod" in next(f["detail"] for f in json.loads(broken.stdout) if f["subject"] == "store")
    file = tmp_path / "c.yaml"
    file.write_text("servis: {}\n")
    assert "servis" in run("doctor", "--config", file, "--data", tmp_path / "new", code=1).stdout
