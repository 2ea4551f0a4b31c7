"""The programs in examples/, run as a user runs them, each in a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spanward.store.span_store import SpanStore

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def environment(**changes: str) -> dict[str, str]:
    """Without the tracing settings of whoever runs the tests."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "SPANWARD_", "COV_"))}
    return {**clean, **changes}


def run(*arguments: str, **changes: str) -> str:
    """A program's output; the test fails with its stderr when it does."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def spans(lake: Path) -> list[dict[str, Any]]:
    store = SpanStore.open(lake, read_only=True)
    try:
        return list(store.snapshot().to_table(columns=None, filter=None).to_pylist())
    finally:
        store.close()


def raw_bytes(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


CHECKS: dict[str, Callable[[list[dict[str, Any]]], bool]] = {
    "llm_inference_engine": lambda rows: [row["gen_ai_usage_output_tokens"] for row in rows] == [12, 12, 12],
    "neural_processor": lambda rows: len(rows) == 10 and sum(bool(row["links"]) for row in rows) == 9,
    "agent_core": lambda rows: (
        any(row["error_type"] == "ZeroDivisionError" for row in rows) and len({row["trace_id"] for row in rows}) == 2
    ),
    "evolution_loop": lambda rows: len(rows) > 10 and {row["retention"] for row in rows} == {"7d"},
    "system_monitor": lambda rows: sum(row["name"] == "system.sample" for row in rows) == 5,
    "api_gateway": lambda rows: (
        {row["http_response_status_code"] for row in rows if row["kind"] == "server"} == {200, 404, 429}
    ),
}


@pytest.mark.parametrize("name", sorted(CHECKS))
def test_an_example_stores_what_it_did(name: str, tmp_path: Path) -> None:
    """`python examples/<name>.py --lake DIR`: it succeeds, and the lake has the spans that it promises to make."""
    extra = ["--samples", "5", "--interval", "0.01"] if name == "system_monitor" else []
    assert run(f"examples/{name}.py", "--lake", str(tmp_path / "lake"), *extra).strip()
    rows = spans(tmp_path / "lake")
    assert {row["service_name"] for row in rows} == {name.replace("_", "-")}
    assert CHECKS[name](rows), rows


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[str]:
    """The checkout service under `opentelemetry-instrument` with our configurator, writing into a lake; its URL."""
    instrument = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    command = [instrument, sys.executable, str(EXAMPLES / "checkout" / "app.py"), "--port", "0"]
    settings = environment(
        OTEL_PYTHON_CONFIGURATOR="spanward",
        OTEL_SERVICE_NAME="checkout",
        OTEL_SEMCONV_STABILITY_OPT_IN="http,database",
        SPANWARD_LAKE=str(tmp_path / "lake"),
        CHECKOUT_DB=str(tmp_path / "orders.sqlite"),
    )
    with (tmp_path / "service.log").open("w") as log:
        service = subprocess.Popen(command, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=log, text=True)
        assert service.stdout is not None
        with service, service.stdout:
            try:
                found = re.search(r"http://\S+", service.stdout.readline())
                assert found, (tmp_path / "service.log").read_text()
                yield found[0]
            finally:
                service.terminate()
                service.wait(timeout=30)


@pytest.mark.timeout(180)
def test_zero_code_instrumentation_of_a_real_service(checkout: str, tmp_path: Path) -> None:
    """FastAPI, SQLite, httpx and `traced`, no set-up in the service: whole traces in the lake, nothing raw in it.

    Every personal value that the customers sent is searched for in every file of the lake.
    """
    report = json.loads(run("examples/checkout/drive.py", "--url", checkout, "--requests", "40", "--json"))
    assert report["requests"] == 40
    assert set(report["statuses"]) == {"200", "402"}
    rows = wait_for(
        lambda: spans(tmp_path / "lake"), lambda rows: sum(row["http_route"] == "/checkout" for row in rows) >= 40
    )
    by_trace: dict[str, set[str]] = {}
    for row in rows:
        by_trace.setdefault(row["trace_id"], set()).add(row["scope_name"].rpartition(".")[2])
    whole = [kinds for kinds in by_trace.values() if {"fastapi", "httpx", "sqlite3", "sdk"} <= kinds]
    assert len(whole) == 40
    chats = [row for row in rows if row["name"].startswith("chat ")]
    assert len(chats) == report["statuses"]["200"]
    assert all(row["gen_ai_usage_input_tokens"] > 0 and "<email:" in row["gen_ai_input_messages"] for row in chats)
    orders = [row for row in rows if row["name"] == "place order"]
    assert {row["classification"] for row in orders} == {"confidential"}
    assert sum(row["status_code"] == "error" for row in orders) == report["statuses"]["402"]
    assert all(row["session_id"] for row in orders)
    stored = raw_bytes(tmp_path / "lake")
    text = json.dumps(rows, default=str)
    values = [value for values in report["personal"].values() for value in values]
    assert len(values) > 100
    assert not [value for value in values if value.encode() in stored or value in text]


def wait_for(
    read: Callable[[], list[dict[str, Any]]], done: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """Read until the batch processor of the service has exported everything."""
    import time

    for _ in range(200):
        rows = read()
        if done(rows):
            return rows
        time.sleep(0.1)
    pytest.fail("the spans did not arrive within 20 seconds")
