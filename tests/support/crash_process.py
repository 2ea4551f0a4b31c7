"""The real sidecar as a child process that can be killed at any moment and started again on the same folder."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from spanward.sidecar.config import DEFAULT_YAML

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Endpoints:
    """host:port of what the child serves."""

    grpc: str
    http: str
    jaeger: str
    health: str


_PORTS: Final = {
    "grpc": re.compile(r"OTLP/gRPC on port (\d+)"),
    "http": re.compile(r"OTLP/HTTP on port (\d+)"),
    "jaeger": re.compile(r"Jaeger's storage API on port (\d+)"),
    "health": re.compile(r"health on port (\d+)"),
}
_READY: Final = re.compile(r"spanward\.sidecar: ready;")


def document(*, commit_seconds: float, segment_mib: float) -> dict[str, Any]:
    """The built-in default with everything hurried: commits, trimming, retention and compaction run all the time."""
    free = {"endpoint": "127.0.0.1:0"}
    options: dict[str, Any] = yaml.safe_load(DEFAULT_YAML)
    options["receivers"]["otlp"]["protocols"] = {"grpc": free, "http": free}
    options["connectors"]["percentiles"] = {"flush_interval_seconds": max(0.1, commit_seconds)}
    options["exporters"]["lake"] = {
        "commit_interval_seconds": commit_seconds,
        "retention_interval_seconds": 0.3,
        "compaction_interval_seconds": 0.2,
        "compaction_min_files": 4,
        "reader_grace_seconds": 3.0,
    }
    options["extensions"] = {"health": free, "jaeger": free}
    options["service"]["pipelines"]["traces"]["intake"] = {"segment_mib": segment_mib, "trim_interval_seconds": 0.1}
    options["service"]["telemetry"]["metrics"] = free
    return options


class ChildError(AssertionError):
    """The child did not do what it must; the message has the end of its log."""


class ChildSidecar:
    """`python -m spanward.sidecar sidecar` on one data folder, started as often as wanted.

    Attributes:
        data: its data folder.
        endpoints: where it listens; None while it does not. The ports are others at each start, for while it is
            down anybody may take them.
    """

    def __init__(self, folder: Path, *, data: Path | None = None) -> None:
        """Args: `folder` is for its configuration and log; `data` is in there unless given."""
        self.data = data or folder / "data"
        self._folder = folder
        self._log = folder / "sidecar.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0
        self.endpoints: Endpoints | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *, commit_seconds: float = 0.1, segment_mib: float = 0.125) -> None:
        """Start it, and do not wait."""
        assert self._process is None, "it runs"
        self._begin = len(self.log())
        config = self._folder / "sidecar.yaml"
        options = document(commit_seconds=commit_seconds, segment_mib=segment_mib)
        config.write_text(yaml.safe_dump(options), encoding="utf-8")
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "spanward.sidecar",
                    "sidecar",
                    "--config",
                    str(config),
                    "--data",
                    str(self.data),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                env={name: value for name, value in os.environ.items() if not name.startswith(("OTEL_", "SPANWARD_"))},
            )

    @property
    def pid(self) -> int:
        """Of the child that runs."""
        assert self._process is not None
        return self._process.pid

    def wait_until_ready(self) -> float:
        """Wait until it takes requests; the seconds that took.

        Raises:
            ChildError: it ended, or is not ready in a minute.
        """
        begin = time.monotonic()
        while not self._is_ready():
            if self._process is None or self._process.poll() is not None:
                raise self.error("the sidecar ended before it was ready")
            if time.monotonic() - begin > READY_SECONDS:
                raise self.error(f"the sidecar is not ready after {READY_SECONDS:g} s")
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - begin

    def linger(self, seconds: float) -> None:
        """Let it run for a while, ready or not."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._is_ready()
            time.sleep(min(left, _POLL_SECONDS))

    def serving(self) -> Endpoints:
        """Where it listens; it is ready."""
        assert self.endpoints is not None, "it does not listen"
        return self.endpoints

    def status(self) -> dict[str, Any]:
        """What the health extension says."""
        with urllib.request.urlopen(f"http://{self.serving().health}/status", timeout=10) as answer:
            return dict(json.loads(answer.read()))

    def signal(self, number: int) -> None:
        """Send a signal, and do not wait."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for its end; the exit code, negative for a signal.

        Raises:
            ChildError: it goes on for longer; it is killed then.
        """
        process = self._process
        assert process is not None
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise self.error(f"the sidecar has not ended after {seconds:g} s") from None
        finally:
            self._process = self.endpoints = None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone.

        Raises:
            ChildError: it had ended by itself.
        """
        self.signal(signal.SIGKILL)
        code = self.wait()
        if code != -signal.SIGKILL:
            raise self.error(f"the sidecar ended by itself with code {code}")

    def stop(self) -> None:
        """Whatever it does, let nothing be left of it. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = self.endpoints = None

    def log(self) -> str:
        """Everything it said since the first start."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def error(self, message: str) -> ChildError:
        """An error with the end of the child's log."""
        return ChildError("\n".join([message, *self.log().splitlines()[-25:]]))

    def _is_ready(self) -> bool:
        """Whether it has said so since it was started; on the way, find out where it listens."""
        said = self.log()[self._begin :]
        if self.endpoints is None:
            ports = {name: pattern.search(said) for name, pattern in _PORTS.items()}
            hosts = {name: f"127.0.0.1:{match[1]}" for name, match in ports.items() if match is not None}
            if len(hosts) == len(_PORTS):
                self.endpoints = Endpoints(**hosts)
        return self.endpoints is not None and _READY.search(said) is not None
