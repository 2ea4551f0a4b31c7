"""Makes percentiles connectors; the entry point `percentiles` in `spanward.connector` names `factory`."""

from __future__ import annotations

from spanward.connector.percentiles.config import PercentilesConfig
from spanward.connector.percentiles.percentiles import PercentilesConnector
from spanward.sidecar.component import Factory, Host


def create(config: PercentilesConfig, host: Host) -> PercentilesConnector:
    """Make a connector."""
    return PercentilesConnector(config, host)


factory = Factory(config=PercentilesConfig, create=create)
