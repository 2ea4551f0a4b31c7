"""Retention: what is kept until when, and the removal of what has expired.

A partition expires as a whole, for its date and its retention decide it. Removing it is a Delta commit, then, after a
grace for readers of older versions, unlinking the files, and last the destruction of its data key, which makes copies
that lie elsewhere (backups, snapshots of a disk) unreadable. Entries of Delta's log that name the removed files, with
bounds of clear columns, are cleaned up by Delta a day later at its next checkpoint.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from spanward.store._lake_file import LakeFile
from spanward.store._removal import EXPIRED, Removed, removals, unlink_due
from spanward.store._retention_report import (
    PartitionPlan,
    PartitionState,
    RetentionReport,
    RetentionSettings,
    report,
)
from spanward.store._tables import SPANS_TABLE
from spanward.store.clock import Clock, utc_date
from spanward.store.compliance import ComplianceStore, Deletion
from spanward.store.delta import LakeTable
from spanward.store.errors import StoreError
from spanward.store.hot import HotRows, HotTable
from spanward.store.keyring import Keyring
from spanward.store.snapshot import expiry, unexpired

__all__ = ["PartitionPlan", "PartitionState", "RetentionManager", "RetentionReport", "RetentionSettings"]


class RetentionManager:
    """Plans and enforces retention in the tables of one store. Runs of one store do not overlap."""

    def __init__(
        self,
        tables: Mapping[str, LakeTable],
        keyring: Keyring,
        compliance: ComplianceStore,
        settings: RetentionSettings,
        *,
        clock: Clock,
        lock: threading.Lock,
        hot: HotTable | None,
        read_only: bool,
    ) -> None:
        """Args: `lock` is shared with compaction; `hot` is None where another process has the hot rows."""
        self._tables = tables
        self._keyring = keyring
        self._compliance = compliance
        self._settings = settings
        self._clock = clock
        self._lock = lock
        self._hot = hot
        self._read_only = read_only

    def plan(self, today: dt.date | None = None, *, table: str = SPANS_TABLE.name) -> list[PartitionPlan]:
        """Every partition of a table, the next to expire first, permanent ones last.

        Args:
            today: the UTC day to plan for; the clock's by default.
            table: which one.

        Raises:
            StoreError: the table cannot be read.
        """
        target = self._tables[table]
        target.refresh()
        day = today or self._today()
        groups = _by_partition(target.files().values())
        plans = [self._partition_plan(table, files, day) for files in groups.values()]
        return sorted(
            plans, key=lambda plan: (plan.expires_on or dt.date.max, plan.date, plan.retention, plan.classification)
        )

    def run(self, *, dry_run: bool = False) -> RetentionReport:
        """Remove what has expired, and unlink files whose grace has passed.

        A crash at any point leaves work that the next run finishes.

        Args:
            dry_run: only say what would be removed.

        Raises:
            RetryableError: another writer got in the way, or the disk refused; a later run finishes.
            StoreError: the store was opened to read, or what should be gone is not.
        """
        today = self._today()
        expired = [
            plan
            for table in self._tables
            for plan in self.plan(today, table=table)
            if plan.state is PartitionState.EXPIRED
        ]
        if dry_run:
            return report(expired, today, dry_run=True)
        if self._read_only:
            raise StoreError("the store was opened to read; open it to write, or add --dry-run")
        with self._lock:
            for table in self._tables.values():
                self._remove_expired(table, today)
            done = [self._unlink(table) for table in self._tables.values()]
            hot_rows = self._purge_hot(self._hot, today) if self._hot else 0
            self._verify(today)
        return report(expired, today, dry_run=False, done=done, hot_rows=hot_rows)

    def _today(self) -> dt.date:
        return utc_date(self._clock.now_ns())

    def _partition_plan(self, table: str, files: Sequence[LakeFile], today: dt.date) -> PartitionPlan:
        partition = files[0].partition
        expires_on = self._expires_on(partition)
        due = None if expires_on is None else (expires_on - today).days
        state = PartitionState.PERMANENT if due is None else PartitionState.KEPT if due > 0 else PartitionState.EXPIRED
        return PartitionPlan(
            table=table,
            date=dt.date.fromisoformat(partition["date"]),
            retention=partition.get("retention", ""),
            classification=partition.get("classification", ""),
            rows=sum(file.rows for file in files),
            files=len(files),
            bytes=sum(file.bytes for file in files),
            expires_on=expires_on,
            state=state,
            due_days=due,
        )

    def _expires_on(self, partition: Mapping[str, str]) -> dt.date | None:
        if "retention" in partition:
            return expiry(partition)
        return dt.date.fromisoformat(partition["date"]) + dt.timedelta(days=self._settings.derived_days)

    def _expired_files(self, table: LakeTable, today: dt.date) -> dict[str, list[LakeFile]]:
        groups = _by_partition(table.files().values())
        ends = {name: self._expires_on(files[0].partition) for name, files in groups.items()}
        return {name: files for name, files in groups.items() if (end := ends[name]) is not None and end <= today}

    def _remove_expired(self, table: LakeTable, today: dt.date) -> None:
        """One version without all expired partitions."""
        groups = self._expired_files(table, today)
        if not groups:
            return
        files = [file for group in groups.values() for file in group]
        now = self._clock.now_ns()
        self._compliance.schedule_removals(
            removals(table, files, EXPIRED, now_ns=now, grace_seconds=self._settings.reader_grace_seconds)
        )
        table.commit(None, removes=files, now_ns=now)
        for name, group in groups.items():
            self._compliance.record_deletion(
                Deletion(
                    table=table.spec.name,
                    partition=name,
                    reason=EXPIRED,
                    rows=sum(file.rows for file in group),
                    files=len(group),
                    bytes=sum(file.bytes for file in group),
                    version=table.version,
                    at_ns=now,
                ),
                actor=self._settings.actor,
            )

    def _unlink(self, table: LakeTable) -> Removed:
        now = self._clock.now_ns()
        return unlink_due(table, self._compliance, self._keyring, now_ns=now, actor=self._settings.actor)

    def _purge_hot(self, hot: HotTable, today: dt.date) -> int:
        """Expired rows leave memory now, and never come into the lake: a commit leaves them out."""
        changed: list[HotRows] = []
        purged = 0
        for entry in hot.after(0):
            rows = entry.rows.filter(unexpired(today))
            if rows.num_rows < entry.rows.num_rows:
                purged += entry.rows.num_rows - rows.num_rows
                changed.append(HotRows(entry.sequence, rows, rows.get_total_buffer_size()))
        if changed:
            hot.replace(changed)
        return purged

    def _verify(self, today: dt.date) -> None:
        for table in self._tables.values():
            table.refresh()
            left = self._expired_files(table, today)
            if left:
                raise StoreError(
                    f"{table.folder}: {', '.join(left)} expired and is there; another program writes; run it again"
                )


def _by_partition(files: Any) -> dict[str, list[LakeFile]]:
    groups: dict[str, list[LakeFile]] = defaultdict(list)
    for file in files:
        groups[file.partition_name].append(file)
    return groups
