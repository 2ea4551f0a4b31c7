"""Makes `lake` exporters; the entry point `lake` in `spanward.exporter` names `factory`."""

from __future__ import annotations

from typing import Final

from spanward.exporter.lake.config import LakeExporterConfig
from spanward.exporter.lake.lake import LakeExporter
from spanward.sidecar.component import Factory, Host


def create(config: LakeExporterConfig, host: Host) -> LakeExporter:
    """Make an exporter into the host's store."""
    return LakeExporter(config, host)


factory: Final = Factory(config=LakeExporterConfig, create=create)
