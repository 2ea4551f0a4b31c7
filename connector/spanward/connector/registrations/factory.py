"""Makes registrations connectors; the entry point `registrations` in `spanward.connector` names `factory`."""

from __future__ import annotations

from spanward.connector.registrations.config import RegistrationsConfig
from spanward.connector.registrations.registrations import RegistrationsConnector
from spanward.sidecar.component import Factory, Host


def create(config: RegistrationsConfig, host: Host) -> RegistrationsConnector:
    """Make a connector."""
    del config
    return RegistrationsConnector(host)


factory = Factory(config=RegistrationsConfig, create=create)
