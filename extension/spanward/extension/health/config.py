"""What a user sets for the `health` extension."""

from __future__ import annotations

from spanward.sidecar.component import Config


class HealthConfig(Config):
    """Where health is told."""

    endpoint: str = "127.0.0.1:13133"
    """host:port to listen on; port 0 takes a free one."""
