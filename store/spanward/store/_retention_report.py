"""What retention says: its plan and its report."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from spanward.store._removal import Removed


class PartitionState(StrEnum):
    """What retention says of a partition."""

    KEPT = "kept"
    EXPIRED = "expired"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How retention is enforced.

    Attributes:
        reader_grace_seconds: between the commit and the unlinking of files; 0 unlinks at once, and a query that reads
            an older version then fails.
        derived_days: how long derived tables (percentiles) are kept, in days from the day they speak of.
        actor: who does it, for the audit trail.
    """

    reader_grace_seconds: float = 600.0
    derived_days: int = 365
    actor: str = "retention"


@dataclass(frozen=True, slots=True)
class PartitionPlan:
    """One partition and its fate.

    Attributes:
        table: its table.
        date: UTC day of receipt (of the minute, for derived tables).
        retention, classification: its labels; "" for derived tables.
        rows, files, bytes: what it holds.
        expires_on: the first UTC day on which it must be gone; None for never.
        state: as of the planned day.
        due_days: days until `expires_on`, negative when it has passed; None for never.
    """

    table: str
    date: dt.date
    retention: str
    classification: str
    rows: int
    files: int
    bytes: int
    expires_on: dt.date | None
    state: PartitionState
    due_days: int | None


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What a run removed, or would.

    Attributes:
        dry_run: nothing was changed.
        today: the UTC day that decided.
        partitions: those that had expired.
        rows, files, bytes: what left the tables.
        hot_rows: expired rows that left memory before they came into the lake.
        files_removed, bytes_removed: what was unlinked, also of earlier runs and of compactions.
        files_waiting: files whose reader grace has not passed; a later run unlinks them.
        keys_destroyed: partitions whose data key is gone.
        verified: the tables were read again and hold nothing that has expired.
    """

    dry_run: bool
    today: dt.date
    partitions: tuple[PartitionPlan, ...]
    rows: int
    files: int
    bytes: int
    hot_rows: int = 0
    files_removed: int = 0
    bytes_removed: int = 0
    files_waiting: int = 0
    keys_destroyed: tuple[str, ...] = ()
    verified: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As a JSON document; days as ISO text."""
        document = asdict(self)
        document["today"] = self.today.isoformat()
        for partition in document["partitions"]:
            for key in ("date", "expires_on"):
                partition[key] = partition[key].isoformat() if partition[key] else None
        return document


def report(
    expired: Sequence[PartitionPlan],
    today: dt.date,
    *,
    dry_run: bool,
    done: Sequence[Removed] = (),
    hot_rows: int = 0,
) -> RetentionReport:
    """Sum up a run: what had expired, and what was done to the files of each table."""
    return RetentionReport(
        dry_run=dry_run,
        today=today,
        partitions=tuple(expired),
        rows=sum(plan.rows for plan in expired),
        files=sum(plan.files for plan in expired),
        bytes=sum(plan.bytes for plan in expired),
        hot_rows=hot_rows,
        files_removed=sum(item.files for item in done),
        bytes_removed=sum(item.bytes for item in done),
        files_waiting=sum(item.waiting for item in done),
        keys_destroyed=tuple(name for item in done for name in item.keys_destroyed),
        verified=not dry_run,
    )
