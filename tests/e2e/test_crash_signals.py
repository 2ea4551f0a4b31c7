"""How a sidecar process ends: drained, at once, or not at all because another one has the folder."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.crash_audit import audit
from tests.support.crash_load import Ledger, start_clients
from tests.support.crash_process import ChildSidecar
from tests.support.running import eventually

_TIMEOUT = 30.0
"""The default of service.shutdown_timeout_seconds."""


@pytest.fixture
def child(tmp_path: Path) -> Iterator[ChildSidecar]:
    """A sidecar process that does not outlive the test."""
    sidecar = ChildSidecar(tmp_path / "first")
    yield sidecar
    sidecar.stop()


def load_until_killed(child: ChildSidecar, ledger: Ledger, number: int, *, requests: int) -> int:
    """Load, and send the signal once so many requests were acknowledged; the exit code. The load never pauses."""
    clients = start_clients(lambda: child.endpoints, ledger, seed=7)
    try:
        eventually(lambda: len(ledger.acknowledged) >= requests)
        child.signal(number)
        return child.wait(_TIMEOUT)
    finally:
        for client in clients:
            client.abort()
        for client in clients:
            client.join()


def hold_a_request_open(child: ChildSidecar) -> socket.socket:
    """A request whose body never ends: a drain waits for it, up to its grace."""
    host, port = child.serving().http.split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\nContent-Length: 9\r\n\r\nabc"
    )
    return connection


def test_sigterm_under_load_drains(child: ChildSidecar) -> None:
    """Scenario: SIGTERM while clients send, with most spans not in the lake yet.

    Guarantee: exit code 0 within the timeout, and everything that was acknowledged is in the lake, once.
    """
    ledger = Ledger()
    child.start(commit_seconds=3600)
    child.wait_until_ready()
    assert load_until_killed(child, ledger, signal.SIGTERM, requests=150) == 0
    result = audit(child.data, ledger, drained=True)
    assert not result.problems + ledger.failures
    assert result.stored >= result.acknowledged > 150


def test_a_second_sigterm_ends_at_once_and_the_log_has_everything(child: ChildSidecar) -> None:
    """Scenario: a drain waits for a client, and a second SIGTERM comes; later the sidecar is started again.

    Guarantee: the process is gone at once, nothing acknowledged is lost, and the next start brings it into the lake.
    """
    ledger = Ledger()
    child.start(commit_seconds=3600)
    child.wait_until_ready()
    clients = start_clients(lambda: child.endpoints, ledger, seed=8)
    try:
        eventually(lambda: len(ledger.acknowledged) >= 50)
        with hold_a_request_open(child):
            child.signal(signal.SIGTERM)
            eventually(lambda: "draining" in child.log())
            child.signal(signal.SIGTERM)
            assert child.wait(10) == -signal.SIGKILL
    finally:
        for client in clients:
            client.abort()
        for client in clients:
            client.join()
    at_once = audit(child.data, ledger, drained=False)
    assert not at_once.problems + ledger.failures
    assert at_once.hot > 0
    child.start()
    child.wait_until_ready()
    child.signal(signal.SIGTERM)
    assert child.wait(_TIMEOUT) == 0
    replayed = audit(child.data, ledger, drained=True)
    assert not replayed.problems
    assert replayed.stored == at_once.stored


def test_a_second_sidecar_is_refused(child: ChildSidecar, tmp_path: Path) -> None:
    """Scenario: a sidecar is started on a folder that another one has.

    Guarantee: it exits with 1 and one line that names the folder and the other's pid, which goes on undisturbed.
    """
    child.start()
    child.wait_until_ready()
    second = ChildSidecar(tmp_path / "second", data=child.data)
    second.start()
    try:
        assert second.wait(_TIMEOUT) == 1
    finally:
        second.stop()
    (line,) = second.log().splitlines()
    assert line.startswith("spanward: ")
    assert str(child.data) in line
    assert str(child.pid) in line
    assert child.status()["ready"]
