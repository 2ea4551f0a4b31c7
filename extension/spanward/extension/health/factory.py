"""Makes the `health` extension."""

from __future__ import annotations

from typing import Final

from spanward.extension.health.config import HealthConfig
from spanward.extension.health.health import HealthExtension
from spanward.sidecar.component import Factory, Host


def create(config: HealthConfig, host: Host) -> HealthExtension:
    """An extension that reads the host's health registry."""
    return HealthExtension(config, host.health, host.clock)


factory: Final = Factory(HealthConfig, create)
