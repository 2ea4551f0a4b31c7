"""What a user sets for the `lake` exporter."""

from __future__ import annotations

from pydantic import Field

from spanward.sidecar.component import Config


class LakeExporterConfig(Config):
    """When spans become files, and for how long files stay."""

    commit_interval_seconds: float = Field(default=5.0, gt=0, le=3600)
    """Longest time that a span waits in memory (and in the intake log) before it is in a file; queries by the sidecar
    and its command line see it at once, programs that read the files see it after that."""

    commit_rows: int = Field(default=50_000, ge=1, le=1_000_000)
    """So many spans in memory are committed ahead of time; also about how many come into one version."""

    max_hot_mib: int = Field(default=256, ge=1)
    """Memory for spans that are not in a file yet, in MiB; beyond it the pipeline waits."""

    retention_interval_seconds: float = Field(default=3600.0, ge=0)
    """Time between two removals of what has expired; 0 never removes, and then only queries leave it out."""

    percentiles_days: int = Field(default=365, ge=1, le=36_500)
    """How long latency percentiles are kept, in days from the day they speak of."""

    compaction_interval_seconds: float = Field(default=60.0, ge=0)
    """Time between two mergers of small files; 0 never merges."""

    compaction_min_files: int = Field(default=8, ge=2)
    """A partition with fewer small files than this is not merged."""

    compaction_max_mib: int = Field(default=40, ge=1)
    """Size of the files that are merged into one, in MiB; a merger takes about 10 times as much memory."""

    reader_grace_seconds: float = Field(default=600.0, ge=0)
    """How long removed and merged files stay on disk for queries that read an older version; 0 removes them at the
    next removal, and a query that is under way then fails."""
