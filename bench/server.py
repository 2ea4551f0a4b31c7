"""A server under measurement: a child process, and what it costs."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

POLL_SECONDS: Final = 0.1
_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0


class ServerError(Exception):
    """A server did not do what the benchmark needs; the message has the end of its log."""


class Server(ABC):
    """A running server in a folder of its own; use it as a context manager.

    Attributes:
        target: host:port of its OTLP/gRPC receiver.
    """

    target: str

    def __init__(self, command: Sequence[str], log: Path, *, environment: Mapping[str, str] | None = None) -> None:
        """Prepare a server that `command` starts, with more `environment`; `log` gets what it prints."""
        self._command = command
        self._log = log
        self._environment = _plain_environment() | dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it takes requests."""

    @abstractmethod
    def drain(self, spans: int) -> float:
        """Wait until it has done with the `spans` that it accepted.

        Returns:
            The seconds that took.

        Raises:
            ServerError: it does not come to that.
        """

    @abstractmethod
    def check(self, spans: int, personal: int) -> None:
        """Hold what came out against what went in; may stop the server.

        Raises:
            ServerError: it is not `spans` spans, `personal` of them marked as holding personal data.
        """

    @abstractmethod
    def bytes_on_disk(self) -> int:
        """Size of what it has stored."""

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT, env=self._environment)
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the child and wait for it. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def cpu_seconds(self) -> float:
        """User and system time of the process so far, its children included."""
        process = psutil.Process(self._pid())
        total = 0.0
        for member in (process, *process.children(recursive=True)):
            times = member.cpu_times()
            total += times.user + times.system
        own = process.cpu_times()
        return total + own.children_user + own.children_system

    def cpu_nanoseconds(self) -> int:
        """Time on a processor of the threads that live now, finer than `cpu_seconds`: for short stretches."""
        total = 0
        for task in Path(f"/proc/{self._pid()}/task").iterdir():
            with contextlib.suppress(OSError):  # it has ended since it was listed
                total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        return total

    def peak_rss_bytes(self) -> int:
        """The largest resident set so far."""
        for line in Path(f"/proc/{self._pid()}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise ServerError("the kernel does not say how much memory the process had (no VmHWM in /proc)")

    def error(self, message: str) -> ServerError:
        """The message with the end of the log."""
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        return ServerError("\n".join([message, *text.splitlines()[-10:]]))

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while not self.is_ready():
            if self._process is None or self._process.poll() is not None:
                raise self.error("the server ended before it was ready")
            if time.monotonic() > end:
                raise self.error(f"the server is not ready after {_START_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    def _pid(self) -> int:
        if self._process is None:
            raise ServerError("the server does not run")
        return self._process.pid


def free_ports(number: int) -> list[int]:
    """So many ports of the loopback address that are free now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _plain_environment() -> dict[str, str]:
    """The environment without what configures the servers from outside."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "SPANWARD_"))}
