"""What a user sets for the `registrations` connector."""

from __future__ import annotations

from spanward.sidecar.component import Config


class RegistrationsConfig(Config):
    """Nothing yet."""
