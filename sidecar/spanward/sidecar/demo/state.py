"""What a run of the demo knows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from spanward.sidecar.config import DEFAULT_YAML
from spanward.sidecar.demo.processes import free_ports
from spanward.sidecar.demo.resources import Resources


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the demo's sidecar listens, as host:port."""

    grpc: str
    http: str
    health: str
    jaeger: str
    metrics: str

    @classmethod
    def choose(cls) -> Endpoints:
        """The documented ports where they are free, others where something else holds them."""
        return cls(*(f"127.0.0.1:{port}" for port in free_ports((4317, 4318, 13133, 17271, 8888))))

    def config(self) -> dict[str, Any]:
        """The built-in default on these endpoints."""
        document = yaml.safe_load(DEFAULT_YAML)
        document["receivers"]["otlp"]["protocols"] = {"grpc": {"endpoint": self.grpc}, "http": {"endpoint": self.http}}
        document["extensions"] = {"health": {"endpoint": self.health}, "jaeger": {"endpoint": self.jaeger}}
        document["service"]["telemetry"]["metrics"]["endpoint"] = self.metrics
        return document  # type: ignore[no-any-return]  # safe_load of our own text


@dataclass(slots=True)
class Run:
    """What one run knows.

    Attributes:
        data: the sidecar's folder.
        work: everything else the demo writes: logs, configuration, the example's database.
        personal: raw personal values that were really sent.
        sent: spans that were sent: by the replay (exactly) and by the service (as the sidecar counted them).
        checks: (claim, holds, what was seen).
    """

    console: Console
    data: Path
    work: Path
    endpoints: Endpoints
    resources: Resources
    personal: list[str] = field(default_factory=list[str])
    recorded: list[bytes] = field(default_factory=list[bytes])
    rejected: int = 0
    checks: list[tuple[str, bool, str]] = field(default_factory=list[tuple[str, bool, str]])

    @property
    def verified(self) -> bool:
        """Every claim holds, and there was one."""
        return bool(self.checks) and all(holds for _, holds, _ in self.checks)

    def check(self, claim: str, holds: bool, seen: str) -> None:
        """Note whether a claim holds."""
        self.checks.append((claim, holds, seen))
