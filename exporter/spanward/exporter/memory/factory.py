"""Makes `memory` exporters; the entry point `memory` in `spanward.exporter` names `factory`."""

from __future__ import annotations

from typing import Final

from spanward.exporter.memory.config import MemoryExporterConfig
from spanward.exporter.memory.memory import MemoryExporter
from spanward.sidecar.component import Factory, Host


def create(config: MemoryExporterConfig, host: Host) -> MemoryExporter:
    """Make an exporter."""
    return MemoryExporter(config, host)


factory: Final = Factory(config=MemoryExporterConfig, create=create)
