"""Child processes of the demo: started, waited for, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from spanward.store.errors import SpanwardError

_READY_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 40.0


class DemoError(SpanwardError):
    """The demo could not go on; the message says which part and where its log lies."""


@dataclass(slots=True)
class Child:
    """A process of the demo.

    Attributes:
        name: for messages.
        process: the running process.
        log: where its output goes.
        keep: True when it shall outlive the demo.
    """

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    keep: bool = False

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait for `ready`.

        Raises:
            DemoError: the process ended, or a minute has passed.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            if self.process.poll() is not None:
                raise DemoError(
                    f"{self.name} ended with code {self.process.returncode}: {self._last_line()} (log: {self.log})"
                )
            if time.monotonic() > deadline:
                raise DemoError(
                    f"{self.name} was not ready within {_READY_SECONDS:.0f} s: {self._last_line()} (log: {self.log})"
                )
            time.sleep(0.05)

    def stop(self) -> int:
        """Ask it to end, and wait; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait()

    def _last_line(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


@dataclass(slots=True)
class Children:
    """All processes of a run."""

    logs: Path
    running: list[Child] = field(default_factory=list[Child])

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """Start a process in a session of its own, its output in a log file."""
        log = self.logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - the demo's own commands
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self.running.append(child)
        return child

    def stop(self) -> None:
        """Stop all that are not to be kept, the last one first."""
        while self.running:
            child = self.running.pop()
            if not child.keep:
                child.stop()


@contextlib.contextmanager
def children(logs: Path) -> Generator[Children, None, None]:
    """Processes that end with the block."""
    group = Children(logs)
    try:
        yield group
    finally:
        group.stop()


def spanward_command(*arguments: str) -> list[str]:
    """The command line that runs `spanward` with this interpreter."""
    return [sys.executable, "-m", "spanward.sidecar", *arguments]


def free_ports(wanted: Sequence[int]) -> list[int]:
    """The wanted ports of this machine where they are free, others where not."""
    with contextlib.ExitStack() as held:
        return [_bind(held, port) for port in wanted]


def _bind(held: contextlib.ExitStack, port: int) -> int:
    probe = held.enter_context(socket.socket())
    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.bind(("127.0.0.1", 0))
    return int(probe.getsockname()[1])
