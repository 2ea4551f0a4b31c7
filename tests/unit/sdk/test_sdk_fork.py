"""Processes that fork after tracing was configured, as prefork servers and multiprocessing do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from spanward.processor.policy.locks import ForkSafeLock
from tests.unit.sdk.sdk_collector import Collector

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

HEAD = """
import json, logging, os, sys, threading, time
from spanward.sdk import configure

def in_child(work):
    '''Runs work in a forked child that ends as programs end; its answer.'''
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        with os.fdopen(writer, "w") as answer:
            json.dump(work(), answer)
        sys.exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        said = json.load(answer)
    _, status = os.waitpid(child, 0)
    assert status == 0, status
    return said
"""

FOREIGN_LOCKS = (
    HEAD
    + """
handle = configure(sys.argv[1], protocol="http/protobuf", set_global=False)
slot = handle.tracer_provider._active_span_processor._span_processors[0]
from spanward.sdk._processor import exporter_of
governor = exporter_of(slot._inner)._encoder._spans
taken, done = threading.Event(), threading.Event()

def hold():
    with governor._lock, governor.governor._lock, governor.governor._shared_lock, slot._lock:
        taken.set()
        done.wait()

threading.Thread(target=hold).start()
taken.wait()

def work():
    handle.tracer().start_span("child", attributes={"to": "jo@example.com"}).end()
    return handle.flush(20)

said = in_child(work)
done.set()
handle.tracer().start_span("parent").end()
handle.shutdown()
print(json.dumps(said))
"""
)

LAKE = (
    HEAD
    + """
from spanward.exporter.lake.span_exporter import LakeSpanExporter
from spanward.store.errors import SpanwardError
exporter = LakeSpanExporter(sys.argv[1], commit_interval_seconds=3600)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
tracer = provider.get_tracer("t")

def error_of(work):
    try:
        return work() and ""
    except SpanwardError as error:
        return type(error).__name__ + ": " + str(error)

def work():
    tracer.start_span("child").end()
    span = tracer.start_span("child")
    span.end()
    return {
        "export": exporter.export([span]).name,
        "flush": exporter.force_flush(),
        "register": error_of(lambda: exporter.register("event")),
        "open": error_of(lambda: LakeSpanExporter(sys.argv[1])),
    }

for number in range(3):
    tracer.start_span(f"before {number}").end()
said = in_child(work)
for number in range(3):
    tracer.start_span(f"after {number}").end()
provider.shutdown()
print(json.dumps(said))
"""
)


def run(program: str, argument: str) -> tuple[Any, str]:
    """What a program printed, as JSON, and its stderr; each in a process without pytest's threads."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, argument],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_a_lock_that_was_held_at_the_fork_does_not_stop_the_child(http_endpoint: Collector) -> None:
    """A fork while another thread governs: the child's spans are governed and sent, and so are the parent's."""
    flushed, _ = run(FOREIGN_LOCKS, http_endpoint.endpoint)
    assert flushed is True
    assert sorted(span.name for span in http_endpoint.spans()) == ["child", "parent"]
    assert not any(b"jo@example.com" in body for body in http_endpoint.bodies)


def test_a_forked_child_never_writes_into_its_parents_lake(tmp_path: Path) -> None:
    """A fork with an open lake folder: the child is told what to do, and nothing of the parent's is touched or lost.

    The child's exit runs the exporter's shutdown, which must not commit, truncate or close what is the parent's.
    """
    from spanward.store.span_store import SpanStore

    said, stderr = run(LAKE, str(tmp_path / "lake"))
    assert (said["export"], said["flush"]) == ("FAILURE", False)
    assert said["register"].startswith("PermanentError: ")
    assert "call configure() after the fork" in said["register"]
    assert said["open"].startswith("LockedError: ")
    assert "after the fork" in stderr
    store = SpanStore.open(tmp_path / "lake", read_only=True)
    names = [row["name"] for row in store.snapshot().to_table(columns=["name"], filter=None).to_pylist()]
    store.close()
    assert sorted(names) == [*(f"after {number}" for number in range(3)), *(f"before {number}" for number in range(3))]


def test_an_inherited_exporter_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a child sees it, under another process id: no write, no commit, no record, no close; the owner works on."""
    from spanward.exporter.lake.span_exporter import LakeSpanExporter
    from spanward.store.errors import LockedError, PermanentError

    exporter = LakeSpanExporter(tmp_path / "lake")
    twin = LakeSpanExporter(tmp_path / "lake")
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        assert not exporter.force_flush()
        with pytest.raises(PermanentError, match="after the fork"):
            exporter.register("event")
        with pytest.raises(LockedError):
            LakeSpanExporter(tmp_path / "lake")
        twin.shutdown()
    assert exporter.force_flush()
    exporter.register("event")
    exporter.shutdown()
    LakeSpanExporter(tmp_path / "lake").shutdown()


def test_a_renewed_lock_is_free() -> None:
    """Held, renewed as after a fork, then taken again: no waiting, and the next holder excludes others as ever."""
    lock = ForkSafeLock()
    lock.__enter__()
    lock.renew()
    with lock:
        assert lock._lock.locked()
    assert not lock._lock.locked()
