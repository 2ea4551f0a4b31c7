"""The audit trail: entries that are only ever appended, each sealed over the one before.

The seal is an HMAC under a key of the keyring: who changes, removes or reorders entries in the file cannot seal them
anew without that key. The head (number of entries, last seal) is sealed too, so that a cut end shows.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from spanward.store.errors import StoreError

_PURPOSE: Final = b"spanward audit trail"
_START: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that was done.

    Attributes:
        id: 1, 2, 3, ... without a gap.
        at_ns: when, nanoseconds since the Unix epoch.
        actor: who: a job, a command, a user.
        action: what, as `<subject>.<verb>`.
        details: more, as a JSON object.
    """

    id: int
    at_ns: int
    actor: str
    action: str
    details: Mapping[str, Any]


class AuditSeal:
    """Makes and checks seals."""

    def __init__(self, secret: bytes) -> None:
        """Args: `secret` is the keyring's digest key; the trail uses a key derived from it."""
        self._key = hmac.digest(secret, _PURPOSE, hashlib.sha256)

    def append(self, connection: sqlite3.Connection, entry: AuditEntry) -> AuditEntry:
        """Write an entry (its id is given here) inside the caller's transaction."""
        row = connection.execute("SELECT entries, digest FROM audit_head").fetchone()
        entries = 0 if row is None else int(row["entries"])
        numbered = AuditEntry(entries + 1, entry.at_ns, entry.actor, entry.action, entry.details)
        details = _canonical(entry.details)
        digest = self._seal(self._last(connection, entries), numbered, details)
        connection.execute(
            "INSERT INTO audit (id, at_ns, actor, action, details, digest) VALUES (?, ?, ?, ?, ?, ?)",
            (numbered.id, numbered.at_ns, numbered.actor, numbered.action, details, digest),
        )
        connection.execute(
            "INSERT OR REPLACE INTO audit_head (only, entries, digest) VALUES (1, ?, ?)",
            (numbered.id, self._head(numbered.id, digest)),
        )
        return numbered

    def verify(self, rows: list[sqlite3.Row]) -> int:
        """Check a whole trail.

        Args:
            rows: the entries in order of their ids, each with the head as `entries` and `head_digest`.

        Returns:
            How many entries there are.

        Raises:
            StoreError: an entry was changed, removed, reordered or put in; the message names the first one.
        """
        previous = _START
        found = [row for row in rows if row["id"] is not None]
        for number, row in enumerate(found, start=1):
            entry = AuditEntry(row["id"], row["at_ns"], row["actor"], row["action"], {})
            expected = self._seal(previous, entry, row["details"])
            if row["id"] != number or not hmac.compare_digest(expected, row["digest"]):
                raise StoreError(f"audit entry {number} was changed, removed or put in; compare with a backup")
            previous = expected
        expected_head = self._head(len(found), previous)
        if rows and (
            rows[0]["entries"] != len(found) or not hmac.compare_digest(rows[0]["head_digest"], expected_head)
        ):
            raise StoreError(f"the audit trail ends after entry {len(found)} and did not; compare with a backup")
        return len(found)

    def _last(self, connection: sqlite3.Connection, entries: int) -> str:
        row = connection.execute("SELECT digest FROM audit WHERE id = ?", (entries,)).fetchone()
        if row is None and entries:
            raise StoreError(f"the audit trail lacks entry {entries}; restore it from a backup")
        return _START if row is None else str(row["digest"])

    def _seal(self, previous: str, entry: AuditEntry, details: str) -> str:
        content = _canonical([previous, entry.id, entry.at_ns, entry.actor, entry.action, details])
        return hmac.digest(self._key, content.encode(), hashlib.sha256).hex()

    def _head(self, entries: int, digest: str) -> str:
        return hmac.digest(self._key, _canonical(["head", entries, digest]).encode(), hashlib.sha256).hex()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
