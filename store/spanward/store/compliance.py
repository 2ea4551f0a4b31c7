"""Compliance records: what was registered, what was deleted, what was done.

They are kept in one SQLite file beside the lake, and outlive the data they speak of: a deletion is recorded by
partition, counts and times, never by content. Approvals, holds and erasures are to come; they get tables of their own
here, and every change of theirs an audit entry.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from spanward.processor.policy.labels import Classification, Retention
from spanward.store._audit import AuditEntry, AuditSeal
from spanward.store._compliance_records import Deletion, PendingRemoval, Registration, make_registration
from spanward.store._database import Database
from spanward.store.clock import Clock
from spanward.store.keyring import Keyring

__all__ = ["AuditEntry", "ComplianceStore", "Deletion", "PendingRemoval", "Registration"]


class ComplianceStore:
    """The records of one data folder. Thread-safe; every change is durable when the call returns."""

    def __init__(self, path: Path, keyring: Keyring, *, clock: Clock, read_only: bool = False) -> None:
        self._database = Database(path, read_only=read_only)
        self._seal = AuditSeal(keyring.digest_key())
        self._clock = clock

    def close(self) -> None:
        """Idempotent."""
        self._database.close()

    def register(
        self,
        subject: str,
        *,
        kind: str = "event",
        classification: Classification | str = Classification.INTERNAL,
        retention: Retention | str | int = "30d",
        privacy_tags: Iterable[str] = (),
        actor: str = "sdk",
    ) -> Registration:
        """Declare the labels of an event or a lake file; the newest declaration of a subject counts.

        Raises:
            InvalidRequestError: a label is none, `kind` is neither `event` nor `file`, or `subject` is empty.
            StoreError: the record cannot be written.
        """
        entry = make_registration(
            subject,
            kind=kind,
            classification=classification,
            retention=retention,
            privacy_tags=privacy_tags,
            actor=actor,
            at_ns=self._clock.now_ns(),
        )
        labels = (entry.classification.value, str(entry.retention), json.dumps(entry.privacy_tags))
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO registrations (at_ns, subject, kind, classification, retention, privacy_tags, actor)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (entry.at_ns, subject, kind, *labels, actor),
            )
            details = {
                "subject": subject,
                "kind": kind,
                "classification": labels[0],
                "retention": labels[1],
                "privacy_tags": list(entry.privacy_tags),
            }
            self._audit(connection, actor, "registration.add", details)
        return replace(entry, id=cursor.lastrowid or 0)

    def registrations(self, subject: str | None = None) -> list[Registration]:
        """All registrations, or those of one subject, oldest first."""
        return [
            Registration(
                row["id"], row["at_ns"], row["subject"], row["kind"], Classification(row["classification"]),
                Retention.parse(row["retention"]), tuple(json.loads(row["privacy_tags"])), row["actor"],
            )
            for row in self._database.rows(
                "SELECT * FROM registrations WHERE ?1 IS NULL OR subject = ?1 ORDER BY id", (subject,)
            )
        ]  # fmt: skip

    def schedule_removals(self, removals: Sequence[PendingRemoval]) -> None:
        """Remember files that are about to leave the table; say so before the commit, for a crash may follow it."""
        with self._database.transaction() as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO pending_removals (table_name, path, partition, reason, bytes, due_ns)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [(item.table, item.path, item.partition, item.reason, item.bytes, item.due_ns) for item in removals],
            )

    def forget_removals(self, removals: Iterable[PendingRemoval]) -> None:
        """These files are unlinked, or still part of the table after all."""
        with self._database.transaction() as connection:
            connection.executemany(
                "DELETE FROM pending_removals WHERE table_name = ? AND path = ?",
                [(item.table, item.path) for item in removals],
            )

    def pending_removals(self, table: str) -> list[PendingRemoval]:
        """The files of a table that wait to be unlinked, the longest waiting first."""
        return [
            PendingRemoval(row["table_name"], row["path"], row["partition"], row["reason"], row["bytes"], row["due_ns"])
            for row in self._database.rows(
                "SELECT * FROM pending_removals WHERE table_name = ? ORDER BY due_ns, path", (table,)
            )
        ]

    def record_deletion(self, deletion: Deletion, *, actor: str) -> None:
        """Record that rows left a table."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO deletions (at_ns, table_name, partition, reason, rows, files, bytes, version)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    deletion.at_ns, deletion.table, deletion.partition, deletion.reason, deletion.rows,
                    deletion.files, deletion.bytes, deletion.version,
                ),
            )  # fmt: skip
            details = {"table": deletion.table, "partition": deletion.partition, "reason": deletion.reason}
            counts = {"rows": deletion.rows, "files": deletion.files, "bytes": deletion.bytes}
            self._audit(connection, actor, "rows.delete", {**details, **counts, "version": deletion.version})

    def complete_deletions(self, table: str, partition: str, *, key_destroyed: bool, actor: str) -> None:
        """Record that the last file of a partition's deleted rows is unlinked, and whether its key is gone."""
        now = self._clock.now_ns()
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE deletions SET removed_at_ns = ?, key_destroyed = ?"
                " WHERE table_name = ? AND partition = ? AND removed_at_ns IS NULL",
                (now, int(key_destroyed), table, partition),
            )
            details = {"table": table, "partition": partition, "key_destroyed": key_destroyed}
            self._audit(connection, actor, "files.remove", details)

    def deletions(self) -> list[Deletion]:
        """All deletions, oldest first."""
        return [
            Deletion(
                row["table_name"], row["partition"], row["reason"], row["rows"], row["files"], row["bytes"],
                row["version"], row["at_ns"], row["removed_at_ns"], bool(row["key_destroyed"]), row["id"],
            )
            for row in self._database.rows("SELECT * FROM deletions ORDER BY id")
        ]  # fmt: skip

    def append_audit(self, actor: str, action: str, details: Mapping[str, Any]) -> AuditEntry:
        """Put an entry at the end of the audit trail.

        Args:
            actor: who.
            action: what, as `<subject>.<verb>`.
            details: JSON values; never personal data, for the trail outlives it.
        """
        with self._database.transaction() as connection:
            return self._audit(connection, actor, action, details)

    def audit(self) -> list[AuditEntry]:
        """The whole trail, oldest first, unchecked."""
        return [
            AuditEntry(row["id"], row["at_ns"], row["actor"], row["action"], json.loads(row["details"]))
            for row in self._database.rows("SELECT * FROM audit ORDER BY id")
        ]

    def verify_audit(self) -> int:
        """Check every seal of the trail.

        Returns:
            How many entries it has.

        Raises:
            StoreError: an entry was changed, removed, reordered or put in, or the end was cut; names the first one.
        """
        # one statement, so that another process cannot append in between
        rows = self._database.rows(
            "SELECT audit.*, head.entries, head.digest AS head_digest FROM audit_head AS head"
            " LEFT JOIN audit ON 1 ORDER BY audit.id"
        )
        return self._seal.verify(rows)

    def _audit(self, connection: sqlite3.Connection, actor: str, action: str, details: Mapping[str, Any]) -> AuditEntry:
        return self._seal.append(connection, AuditEntry(0, self._clock.now_ns(), actor, action, dict(details)))
