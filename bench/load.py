"""The load: recorded OTLP requests over gRPC, a fixed number of calls in flight, each waited for.

The generator is a Go program (bench/loadgen), so that little of the machine is taken from what it measures.
"""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_TOOLS: Final = Path(__file__).resolve().parents[1] / "tools"


class ToolError(Exception):
    """A program that the benchmarks need is not there, or failed; the message is its own."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the clients saw.

    Attributes:
        accepted_spans, rejected_spans: of the requests that were answered.
        calls: requests; a refusal that says to try again is followed by the same bytes and is no call of its own.
        calls_failed: those that were never taken.
        refusals: answers that said to try again.
        bytes: of the accepted requests, before framing.
        wall_s: from the first call to the last answer.
        p50_ms, p99_ms: of the calls, refusals and pauses included.
        cpu_s: user and system time of the generator.
        last_error: of a failed call.
    """

    accepted_spans: int
    rejected_spans: int
    calls: int
    calls_failed: int
    refusals: int
    bytes: int
    wall_s: float
    spans_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_s: float
    last_error: str


@dataclass(frozen=True, slots=True)
class Load:
    """How a recording is sent.

    Attributes:
        recording: the requests, see `record`; sent in turn, each round with ids of its own.
        apart_ns: how much later the spans of each round are than those of the round before.
        seconds: no new call after it; 0 for no limit.
        spans: no new call once so many were sent; 0 for no limit.
        in_flight: calls that are under way at any time.
        connections: that share them.
    """

    recording: Path
    apart_ns: int = 0
    seconds: float = 0.0
    spans: int = 0
    in_flight: int = 8
    connections: int = 1

    def run(self, target: str, *, first_round: int = 1) -> LoadResult:
        """Send until a limit is reached; wait for every answer.

        Args:
            target: host:port of an OTLP/gRPC receiver.
            first_round: its number; rounds of the same number have the same ids.

        Raises:
            ToolError: the generator cannot be built, or gave no result.
        """
        options = {
            "target": target,
            "requests": self.recording,
            "time": f"{self.seconds}s",
            "spans": self.spans,
            "in-flight": self.in_flight,
            "connections": self.connections,
            "first-copy": first_round,
            "apart": f"{self.apart_ns}ns",
        }
        command = [generator(), *(f"-{name}={value}" for name, value in options.items())]
        return LoadResult(**json.loads(_output(command)))


def record(requests: Iterable[bytes], path: Path) -> Path:
    """Write requests for the generator, each after its length as 4 bytes, little endian; the path again."""
    with path.open("wb") as file:
        for body in requests:
            file.write(struct.pack("<I", len(body)) + body)
    return path


def generator() -> str:
    """The path of the load generator, which is built where that was not done yet.

    Raises:
        ToolError: it cannot be built, for want of Go.
    """
    return tool("loadgen.sh")


def tool(script: str) -> str:
    """What a script of tools/ prints: the path of a program that it builds once.

    Raises:
        ToolError: it failed.
    """
    return _output(["sh", str(_TOOLS / script)]).strip()


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(done.stderr.strip() or f"{command[0]} failed with {done.returncode}")
    return done.stdout
