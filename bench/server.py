"""The sidecar under load: a child process on free ports, and what it costs."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import grpc.aio
import psutil
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

T = TypeVar("T")

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 60.0
_QUERY_SECONDS: Final = 120.0
_POLL_SECONDS: Final = 0.1

_CONFIG: Final = """\
receivers:
  otlp:
    protocols:
      grpc: {{endpoint: "127.0.0.1:{grpc}"}}
      http: null
processors:
  policy: {{engine: {engine}}}
connectors:
  percentiles: {{}}
exporters:
  lake: {{}}
extensions:
  health: {{endpoint: "127.0.0.1:{health}"}}
service:
  extensions: [health]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [policy]
      exporters: [lake, percentiles]
  telemetry:
    metrics: {{endpoint: "127.0.0.1:{metrics}"}}
    logs: {{level: warn}}
"""
"""The whole job as the built-in default does it, but for the ways in and out that the load does not use."""


class ServerError(Exception):
    """The sidecar did not do what the benchmark needs; the message has the end of its log."""


class Sidecar:
    """A running `spanward sidecar` in a folder of its own; use it as a context manager."""

    def __init__(self, folder: Path, *, engine: str = "auto") -> None:
        """Args: `engine` is what decodes and governs: auto, kernel or python."""
        self.data = folder / "data"
        self._config = folder / "sidecar.yaml"
        self._log = folder / "sidecar.log"
        grpc, health, metrics = _free_ports(3)
        self.target = f"127.0.0.1:{grpc}"
        self._ready_url = f"http://127.0.0.1:{health}/ready"
        config = _CONFIG.format(grpc=grpc, health=health, metrics=metrics, engine=engine)
        self._config.write_text(config, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [_spanward(), "sidecar", "--config", str(self._config), "--data", str(self.data)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "SPANWARD_"))},
            )
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

    def loaded_by(self, load: Coroutine[Any, Any, T]) -> T:
        """What a load against this server comes to.

        Raises:
            ServerError: the server refused a call for good.
        """
        try:
            return asyncio.run(load)
        except ExceptionGroup as failures:
            refusals = failures.subgroup(grpc.aio.AioRpcError)
            if refusals is None:
                raise
            raise self._error(
                f"the sidecar refused the load: {' '.join(str(refusals.exceptions[0]).split())}"
            ) from None

    def cpu_seconds(self) -> float:
        """User and system time of the process so far, its children included."""
        process = psutil.Process(self._pid())
        total = 0.0
        for member in (process, *process.children(recursive=True)):
            times = member.cpu_times()
            total += times.user + times.system
        own = process.cpu_times()
        return total + own.children_user + own.children_system

    def peak_rss_bytes(self) -> int:
        """The largest resident set so far."""
        for line in Path(f"/proc/{self._pid()}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) << 10
        raise ServerError("the kernel does not say how much memory the process had (no VmHWM in /proc)")

    def wait_until_committed(self, spans: int, *, timeout: float) -> float:
        """Wait until the lake holds `spans` rows, by the Delta log alone.

        Returns:
            The seconds that took.

        Raises:
            ServerError: it does not come to that within `timeout` seconds, or has more.
        """
        begin = time.monotonic()
        while (rows := self.committed_rows()) != spans:
            if rows > spans or time.monotonic() - begin > timeout:
                raise self._error(f"the lake has {rows:,} rows where {spans:,} spans were accepted")
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - begin

    def committed_rows(self) -> int:
        """Rows of the table `spans`."""
        try:
            return int(DeltaTable(str(self.data / "lake" / "spans")).count())
        except TableNotFoundError:
            return 0

    def queried_rows(self) -> int:
        """Rows of the table `spans` as `spanward query` counts them."""
        command = [_spanward(), "query", "--json", "--data", str(self.data), "select count(*) as spans from spans"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_QUERY_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise self._error(f"spanward query gave no answer within {_QUERY_SECONDS:g} s") from error
        if done.returncode:
            raise self._error(f"spanward query failed: {done.stderr.strip()}")
        return int(json.loads(done.stdout)[0]["spans"])

    def bytes_on_disk(self) -> int:
        """Size of the table `spans`, its Delta log included."""
        return sum(path.stat().st_size for path in (self.data / "lake" / "spans").rglob("*") if path.is_file())

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process is None or self._process.poll() is not None:
                raise self._error("the sidecar ended before it was ready")
            if time.monotonic() > end:
                raise self._error(f"the sidecar is not ready after {_START_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._ready_url, timeout=1) as answer:  # noqa: S310 - our own loopback address
                return bool(answer.status == 200)
        except OSError:
            return False

    def _pid(self) -> int:
        if self._process is None:
            raise ServerError("the sidecar does not run")
        return self._process.pid

    def _error(self, message: str) -> ServerError:
        text = self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""
        lines = text.splitlines()[-10:]
        return ServerError("\n".join([message, *lines]))


def _spanward() -> str:
    """The command that belongs to this interpreter's environment."""
    return str(Path(sys.executable).with_name("spanward"))


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports
