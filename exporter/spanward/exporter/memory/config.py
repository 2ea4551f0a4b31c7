"""What a user sets for the `memory` exporter."""

from __future__ import annotations

from pydantic import Field

from spanward.sidecar.component import Config


class MemoryExporterConfig(Config):
    """How much is kept."""

    max_batches: int = Field(default=1_000, ge=1, le=1_000_000)
    """So many batches are kept; each further one pushes out the oldest."""
