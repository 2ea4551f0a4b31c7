"""One Delta table in a local folder: versions, files, commits.

Every commit of rows carries an application transaction (app_id, last sequence), so that the table itself says how far
it holds the log. delta-rs refuses a second commit of the same app_id from a stale handle and accepts it from a fresh
one: whoever commits looks at `transaction` right before, on a fresh handle.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction, Transaction

from spanward.store._durable import OWNER_ONLY_FILE, sync_folder
from spanward.store._encryption import PartitionCipher
from spanward.store._intents import Intent, Intents
from spanward.store._lake_file import LakeFile, list_files
from spanward.store._tables import TableSpec
from spanward.store.errors import RetryableError, StoreError
from spanward.store.layout import make_private_folder
from spanward.store.parquet import APPENDED, FileForm, NewFile, WrittenFile, write_file

_LOG: Final = "_delta_log"
_Action: TypeAlias = AddAction | RemoveAction
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Staged:
    """Durable files that wait for their commit."""

    intent: Intent
    files: tuple[WrittenFile, ...]


class LakeTable:
    """A table, opened. Readers see the version of the last `refresh`; thread-safe."""

    def __init__(self, folder: Path, spec: TableSpec, cipher: PartitionCipher, intents: Intents) -> None:
        self.folder = folder
        self.spec = spec
        self.cipher = cipher
        self._intents = intents
        self._lock = threading.RLock()
        self._table = _load(folder)
        # a handle of its own: committing must not hold up readers, and a commit starts from the newest version
        self._writer = _load(folder)
        self._commit_lock = threading.Lock()
        self._files: dict[str, LakeFile] = {}
        self._files_version = -1

    @classmethod
    def create(cls, folder: Path, spec: TableSpec) -> None:
        """Make an empty table where there is none.

        Raises:
            StoreError: it cannot be made.
        """
        try:
            make_private_folder(folder)
            DeltaTable.create(
                str(folder),
                spec.schema,
                mode="ignore",
                name=spec.name,
                partition_by=list(spec.partition_by),
                configuration={
                    # what expired data looked like must not outlive it for long in old log entries
                    "delta.logRetentionDuration": "interval 1 days",
                    "delta.dataSkippingStatsColumns": ",".join(spec.statistics),
                },
            )
            _harden(folder / _LOG, 0)
        except (OSError, DeltaError) as error:
            raise StoreError(f"{folder}: the table cannot be made: {error}; make the folder writable") from error

    def refresh(self) -> None:
        """Move on to the newest version.

        Raises:
            StoreError: the table cannot be read.
        """
        with self._lock:
            self._table = _newest(self._table, self.folder)

    @property
    def lock(self) -> threading.RLock:
        """Hold it to read several of the following of one and the same version."""
        return self._lock

    @property
    def version(self) -> int:
        """The version that readers see."""
        with self._lock:
            return int(self._table.version())

    def transaction(self, app_id: str) -> int:
        """The last sequence that this version holds of `app_id`; 0 when it holds none."""
        with self._lock:
            return int(self._table.transaction_version(app_id) or 0)

    def files(self) -> Mapping[str, LakeFile]:
        """The files of this version by path; the mapping is never changed afterwards."""
        with self._lock:
            if self._files_version != self._table.version():
                self._files = list_files(self._table, self.spec, self._files)
                self._files_version = int(self._table.version())
            return self._files

    def stage(self, files: Sequence[NewFile], *, form: FileForm = APPENDED) -> Staged:
        """Write files durably; they are not part of the table before `commit`.

        Raises:
            RetryableError: the disk refused; nothing is left of the files.
            KeyringError: a partition's key cannot be made; nothing is left of the files.
        """
        intent: Intent | None = None
        try:
            intent = self._intents.record([file.path for file in files])
            written = tuple(write_file(self.folder, file, self.spec, self.cipher, form) for file in files)
        except BaseException as error:
            if intent is not None:
                self._remove(intent)
            if isinstance(error, OSError | pa.ArrowException):
                raise RetryableError(f"{self.folder}: files cannot be written: {error}; is the disk full?") from error
            raise
        return Staged(intent, written)

    def discard(self, staged: Staged) -> None:
        """Remove files that were not committed."""
        self._remove(staged.intent)

    def commit(
        self,
        staged: Staged | None,
        *,
        removes: Sequence[LakeFile] = (),
        transaction: tuple[str, int] | None = None,
        data_change: bool = True,
        now_ns: int,
    ) -> None:
        """Add and remove files in one version, and move on to it.

        Args:
            staged: what to add; consumed in any case but an unknown outcome.
            removes: what to remove; the files themselves stay until somebody unlinks them.
            transaction: (app_id, last sequence) that the added rows complete.
            data_change: False when rows are only arranged anew.
            now_ns: the time, for the log.

        Raises:
            RetryableError: another writer got in the way, or the disk refused; nothing was committed.
            StoreError: it is unknown whether the commit landed; open the store anew.
        """
        actions = [*_adds(staged, now_ns, data_change=data_change), *_removes(removes, now_ns, data_change=data_change)]
        properties = CommitProperties(app_transactions=[Transaction(*transaction)] if transaction else None)
        with self._commit_lock:
            before = self.version
            self._require_live(removes, staged)
            try:
                self._writer.create_write_transaction(
                    actions, "append", self._writer.schema(), list(self.spec.partition_by), commit_properties=properties
                )
            except (OSError, DeltaError) as error:
                self._after_failure(staged, actions, transaction, error)
            self.refresh()
            self._make_durable(before)
        if staged is not None:
            self._intents.done(staged.intent)

    def recover(self) -> tuple[str, ...]:
        """Remove what a crash left uncommitted; only while no other process writes.

        Raises:
            StoreError: a file cannot be removed.
        """
        try:
            return self._intents.recover(self.folder, self.files().__contains__)
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(
                f"{self.folder}: files of a crash cannot be removed: {error}; make the folder writable"
            ) from error

    def _require_live(self, removes: Sequence[LakeFile], staged: Staged | None) -> None:
        """Start from the newest version, which must have all files that are to be removed.

        delta-rs looks for conflicts in what is committed from here on, and knows nothing of the version in which the
        caller saw these files.
        """
        self._writer = _newest(self._writer, self.folder)
        if removes and not {file.path for file in removes} <= list_files(self._writer, self.spec, self.files()).keys():
            if staged is not None:
                self.discard(staged)
            raise RetryableError(f"{self.folder}: another writer removed the same files first; trying again helps")

    def _after_failure(
        self, staged: Staged | None, actions: Sequence[_Action], transaction: tuple[str, int] | None, error: Exception
    ) -> None:
        """Find out whether a commit that failed landed all the same (its checkpoint may have failed after it)."""
        self.refresh()  # an unreadable table leaves files and intent for the next open
        if _landed(self, actions, transaction):
            _log.warning("%s: the commit landed, though delta-rs says: %s", self.folder, error)
            return
        if staged is not None:
            self.discard(staged)
        raise RetryableError(f"{self.folder}: the commit failed: {_first_line(error)}; trying again helps") from error

    def _make_durable(self, before: int) -> None:
        """Make the log entries durable that came since `before`: the intake log is cut on their word."""
        log = self.folder / _LOG
        for version in range(before + 1, self.version + 1):
            _harden(log, version)
        sync_folder(log)

    def _remove(self, intent: Intent) -> None:
        for file in intent.files:
            with suppress(FileNotFoundError):
                (self.folder / file).unlink()
        self._intents.done(intent)


def _load(folder: Path) -> DeltaTable:
    try:
        return DeltaTable(str(folder))
    except (OSError, DeltaError) as error:
        raise StoreError(f"{folder}: the table cannot be read: {_first_line(error)}; restore its _delta_log") from error


def _newest(table: DeltaTable, folder: Path) -> DeltaTable:
    """The table, moved on to its newest version."""
    try:
        table.update_incremental()
    except (OSError, DeltaError):
        return _load(folder)  # the log entries from here to there were cleaned up meanwhile
    return table


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _adds(staged: Staged | None, now_ns: int, *, data_change: bool) -> list[_Action]:
    return [
        AddAction(file.path, file.bytes, file.partition, now_ns // 1_000_000, data_change, file.statistics)
        for file in (staged.files if staged else ())
    ]


def _removes(files: Sequence[LakeFile], now_ns: int, *, data_change: bool) -> list[_Action]:
    return [
        RemoveAction(file.path, data_change, now_ns // 1_000_000, file.bytes, dict(file.partition)) for file in files
    ]


def _landed(table: LakeTable, actions: Sequence[_Action], transaction: tuple[str, int] | None) -> bool:
    if transaction is not None:
        return table.transaction(transaction[0]) >= transaction[1]
    live = table.files()
    return all((action.path in live) == isinstance(action, AddAction) for action in actions)


def _harden(log: Path, version: int) -> None:
    """Make a log entry durable and private; a checkpoint may have been made along with it."""
    for name in (f"{version:020d}.json", f"{version:020d}.checkpoint.parquet", "_last_checkpoint"):
        with suppress(FileNotFoundError), (log / name).open("rb") as entry:
            os.fchmod(entry.fileno(), OWNER_ONLY_FILE)
            os.fsync(entry.fileno())
