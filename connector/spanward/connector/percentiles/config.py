"""The options of the percentiles connector."""

from __future__ import annotations

from pydantic import Field

from spanward.sidecar.component import Config


class PercentilesConfig(Config):
    """How latency sketches are kept."""

    flush_interval_seconds: float = Field(default=10.0, gt=0, le=3600)
    """How often the sketches in memory are added to the table `percentiles`, in seconds."""
    max_series: int = Field(default=5_000, ge=1, le=1_000_000)
    """How many operations (service, name, kind, status) of a tenant are told apart; the rest is counted as 'other'."""
