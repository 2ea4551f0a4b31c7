"""The SQLite file of the compliance records: private, durable, one connection for all threads."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from spanward.store._durable import OWNER_ONLY_FILE
from spanward.store.errors import StoreError

_BUSY_MILLISECONDS: Final = 10_000
_VERSION: Final = 1
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS registrations (
    id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, subject TEXT NOT NULL, kind TEXT NOT NULL,
    classification TEXT NOT NULL, retention TEXT NOT NULL, privacy_tags TEXT NOT NULL, actor TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS registrations_by_subject ON registrations (subject);
CREATE TABLE IF NOT EXISTS deletions (
    id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, table_name TEXT NOT NULL, partition TEXT NOT NULL,
    reason TEXT NOT NULL, rows INTEGER NOT NULL, files INTEGER NOT NULL, bytes INTEGER NOT NULL,
    version INTEGER NOT NULL, removed_at_ns INTEGER, key_destroyed INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS pending_removals (
    table_name TEXT NOT NULL, path TEXT NOT NULL, partition TEXT NOT NULL, reason TEXT NOT NULL,
    bytes INTEGER NOT NULL, due_ns INTEGER NOT NULL, PRIMARY KEY (table_name, path));
CREATE TABLE IF NOT EXISTS audit (
    id INTEGER PRIMARY KEY, at_ns INTEGER NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL,
    details TEXT NOT NULL, digest TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS audit_head (
    only INTEGER PRIMARY KEY CHECK (only = 1), entries INTEGER NOT NULL, digest TEXT NOT NULL);
"""


class Database:
    """Opened at first use; thread-safe, and the file may be used by several processes."""

    def __init__(self, path: Path, *, read_only: bool) -> None:
        """Args: `read_only` neither makes nor changes the file."""
        self.path = path
        self._read_only = read_only
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The result of a query; nothing where there is no file yet and none is made.

        Raises:
            StoreError: the file cannot be read.
        """
        if self._read_only and not self.path.exists():
            return []
        with self._lock, _translated(self.path):
            return self._connected().execute(sql, parameters).fetchall()

    @contextmanager
    def transaction(self) -> Generator[sqlite3.Connection, None, None]:
        """One transaction, taken for writing at once, durable at its end, undone on an exception.

        Raises:
            StoreError: the file cannot be written.
        """
        if self._read_only:
            raise StoreError(f"{self.path} was opened to read; open the store without read_only to write")
        with self._lock, _translated(self.path):
            connection = self._connected()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
            except BaseException:
                connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

    def close(self) -> None:
        """Idempotent; the next use opens anew."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        if not self._read_only:
            # SQLite gives its journals the mode of the database file, so that file comes first
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY_FILE))
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode={'ro' if self._read_only else 'rw'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_MILLISECONDS}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise StoreError(
                f"{self.path}: format {version} is newer than this version reads ({_VERSION}); upgrade spanward"
            )
        if not self._read_only:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {_VERSION}; COMMIT;")


@contextmanager
def _translated(path: Path) -> Generator[None, None, None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StoreError(f"{path}: {error}; make it readable and writable, or restore it from a backup") from error
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror}; make it readable and writable for this user") from error
