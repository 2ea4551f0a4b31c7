"""The sidecar as a server under measurement."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from bench.server import POLL_SECONDS, Server, free_ports, size_of

_QUERY_SECONDS: Final = 300.0
_DRAIN_SECONDS: Final = 300.0
_CENSUS: Final = "select count(*) as spans, count(*) filter (where len(pii) > 0) as personal from spans"

_GRPC: Final = {"auto": "auto", "kernel": "native", "python": "python"}
"""What serves gRPC beside what decodes: spanward-native has both or is not there."""


class Sidecar(Server):
    """A running `spanward sidecar` that does the whole job of the built-in default.

    Attributes:
        data: its data folder.
        jaeger: host:port of Jaeger's storage API.
    """

    def __init__(
        self,
        folder: Path,
        *,
        engine: str = "auto",
        classification: str = "internal",
        lake: Mapping[str, object] | None = None,
    ) -> None:
        """Prepare one.

        Args:
            folder: for configuration, log and data.
            engine: what decodes, governs and speaks gRPC: auto, kernel or python.
            classification: of spans that claim none: `internal` encrypts the payload at rest, `public` does not.
            lake: options of the exporter `lake`.
        """
        self.data = folder / "data"
        otlp, health, metrics, jaeger = free_ports(4)
        self.target, self.jaeger = f"127.0.0.1:{otlp}", f"127.0.0.1:{jaeger}"
        self._ready_url = f"http://127.0.0.1:{health}/ready"
        config = folder / "sidecar.yaml"
        document = configuration(
            {"otlp": otlp, "health": health, "metrics": metrics, "jaeger": jaeger},
            engine=engine,
            classification=classification,
            lake=lake,
        )
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
        command = [_spanward(), "sidecar", "--config", str(config), "--data", str(self.data)]
        super().__init__(command, folder / "sidecar.log")

    def is_ready(self) -> bool:
        """Whether its health says so."""
        try:
            with urllib.request.urlopen(self._ready_url, timeout=1) as answer:  # noqa: S310 - our own loopback address
                return bool(answer.status == 200)
        except OSError:
            return False

    def drain(self, spans: int) -> float:
        """Wait until the lake holds as many rows, by the Delta log alone."""
        begin = time.monotonic()
        while (rows := self.committed_rows()) != spans:
            if rows > spans or time.monotonic() - begin > _DRAIN_SECONDS:
                raise self.error(f"the lake has {rows:,} rows where {spans:,} spans were accepted")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - begin

    def check(self, spans: int, personal: int) -> None:
        """Count with `spanward query`: rows, and rows that name types of personal data."""
        found = self.queried(_CENSUS)[0]
        if found["spans"] != spans:
            raise self.error(f"spanward query counts {found['spans']:,} rows where {spans:,} spans were accepted")
        if found["personal"] != personal:
            raise self.error(f"{found['personal']:,} rows name personal data where {personal:,} spans hold some")

    def committed_rows(self) -> int:
        """Rows of the table `spans`."""
        try:
            return int(DeltaTable(str(self.data / "lake" / "spans")).count())
        except TableNotFoundError:
            return 0

    def queried(self, statement: str) -> list[dict[str, Any]]:
        """The rows that `spanward query` prints.

        Raises:
            ServerError: it failed.
        """
        command = [_spanward(), "query", "--json", "--data", str(self.data), statement]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_QUERY_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise self.error(f"spanward query gave no answer within {_QUERY_SECONDS:g} s") from error
        if done.returncode:
            raise self.error(f"spanward query failed: {done.stderr.strip()}")
        rows: list[dict[str, Any]] = json.loads(done.stdout)
        return rows

    def bytes_on_disk(self) -> int:
        """Size of the table `spans`, its Delta log included."""
        return size_of(self.data / "lake" / "spans")


def configuration(
    ports: Mapping[str, int], *, engine: str, classification: str = "internal", lake: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """The whole job as the built-in default does it, but for the ways in that the load does not use.

    Args:
        ports: of the loopback address, for otlp, health, metrics and jaeger; 0 takes a free one.
        engine: what decodes, governs and speaks gRPC.
        classification: of spans that claim none.
        lake: options of the exporter `lake`.
    """
    endpoint = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    return {
        "receivers": {
            "otlp": {"protocols": {"grpc": {"endpoint": endpoint["otlp"], "engine": _GRPC[engine]}, "http": None}}
        },
        "processors": {"policy": {"engine": engine, "policy": {"defaults": {"classification": classification}}}},
        "connectors": {"percentiles": {}},
        "exporters": {"lake": dict(lake or {})},
        "extensions": {name: {"endpoint": endpoint[name]} for name in ("health", "jaeger")},
        "service": {
            "extensions": ["health", "jaeger"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "processors": ["policy"], "exporters": ["lake", "percentiles"]}
            },
            "telemetry": {"metrics": {"endpoint": endpoint["metrics"]}, "logs": {"level": "warn"}},
        },
    }


def _spanward() -> str:
    """The command that belongs to this interpreter's environment."""
    return str(Path(sys.executable).with_name("spanward"))
