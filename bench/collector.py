"""The OpenTelemetry Collector as a server under measurement, in the configurations of bench/collector/."""

from __future__ import annotations

import json
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import zstandard
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from bench.load import generator, tool
from bench.server import Server, ServerError, free_ports, size_of

_CONFIGURATIONS: Final = Path(__file__).parent / "collector"
_MASKED: Final = b"redaction.masked.count"
"""The attribute by which the redaction processor says that it has changed a span."""

_QUIET_SECONDS: Final = 0.5
_QUIET_CPU: Final = 0.02
_QUIET_TIMES: Final = 3
_DRAIN_SECONDS: Final = 120.0


class Collector(Server):
    """A running Collector that receives, and does with it what its configuration says."""

    def __init__(self, folder: Path, configuration: str, *, sink: int = 0) -> None:
        """Prepare one.

        Args:
            folder: for its log and what it stores.
            configuration: of bench/collector/, without `.yaml`.
            sink: port that it forwards to, where it does.
        """
        self.out = folder / "out"
        self.out.mkdir()
        otlp, metrics = free_ports(2)
        self.target, self._port = f"127.0.0.1:{otlp}", otlp
        ports = {"BENCH_OTLP": otlp, "BENCH_METRICS": metrics, "BENCH_SINK": sink}
        super().__init__(
            [tool("collector.sh"), f"--config={_CONFIGURATIONS / configuration}.yaml"],
            folder / "collector.log",
            environment={"BENCH_OUT": str(self.out)} | {name: str(port) for name, port in ports.items()},
        )

    def is_ready(self) -> bool:
        """Whether its receiver listens."""
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True

    def drain(self, spans: int) -> float:
        """Wait until it does nothing any more; `spans` do not matter."""
        begin, quiet, before = time.monotonic(), 0, self.cpu_seconds()
        while quiet < _QUIET_TIMES:
            time.sleep(_QUIET_SECONDS)
            now = self.cpu_seconds()
            quiet = quiet + 1 if now - before <= _QUIET_CPU else 0
            before = now
            if time.monotonic() - begin > _DRAIN_SECONDS:
                raise self.error(f"the Collector still works {_DRAIN_SECONDS:g} s after {spans:,} spans")
        return time.monotonic() - begin - _QUIET_TIMES * _QUIET_SECONDS

    def check(self, spans: int, personal: int) -> None:
        """Nothing comes out of this one that could be counted."""

    def bytes_on_disk(self) -> int:
        """Size of its files."""
        return size_of(self.out)


class WholeCollector(Collector):
    """Redaction, span metrics and a compressed file; the answer waits for none of them."""

    def __init__(self, folder: Path) -> None:
        """Prepare one in a folder."""
        super().__init__(folder, "whole")

    def check(self, spans: int, personal: int) -> None:
        """Count in the file, once the Collector has closed it."""
        self.stop()
        found = masked = 0
        for message in _messages(self.out / "traces.pb.zst"):
            resources = TracesData.FromString(message).resource_spans
            found += sum(len(scope.spans) for resource in resources for scope in resource.scope_spans)
            masked += message.count(_MASKED)
        _compare(found, masked, spans, personal)


class DurableCollector(Collector):
    """Redaction, span metrics and a queue on disk, fsynced before the answer, that is sent on to a sink."""

    def __init__(self, folder: Path) -> None:
        """Prepare one in a folder, and its sink."""
        self._sink = Sink()
        super().__init__(folder, "durable", sink=self._sink.port)

    def __enter__(self) -> Self:
        self._sink.start()
        try:
            return super().__enter__()
        except BaseException:
            self._sink.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._sink.stop()

    def check(self, spans: int, personal: int) -> None:
        """Count what has come to the sink."""
        found, masked = self._sink.stop()
        _compare(found, masked, spans, personal)


class Sink:
    """A process that counts the spans it is sent; its own costs are nobody's.

    Attributes:
        port: of the loopback address, where it will listen.
    """

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it; whoever sends to it has to try until it listens."""
        command = [generator(), f"-sink=127.0.0.1:{self.port}"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def stop(self) -> tuple[int, int]:
        """End it: the spans it got, and how many of them are marked as redacted; zeros when it did not run."""
        process, self._process = self._process, None
        if process is None:
            return 0, 0
        process.send_signal(signal.SIGTERM)
        counts = json.loads(process.communicate()[0])
        return counts["spans"], counts["masked"]


def _messages(path: Path) -> Iterator[bytes]:
    """What the file exporter has written: each message compressed, after its length as 4 bytes, big endian."""
    decompressor = zstandard.ZstdDecompressor()
    with path.open("rb") as file:
        while length := file.read(4):
            yield decompressor.decompress(file.read(struct.unpack(">I", length)[0]))


def _compare(found: int, masked: int, spans: int, personal: int) -> None:
    if found != spans:
        raise ServerError(f"{found:,} spans have come out of the Collector where {spans:,} were accepted")
    if masked != personal:
        raise ServerError(f"{masked:,} spans are redacted where {personal:,} hold personal data")
