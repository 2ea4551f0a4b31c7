"""The lake of one data folder: append, commit, snapshot, derived tables.

    append   rows that the intake log holds become queryable, in memory
    commit   they become files and one Delta version that says how far it holds the log
    snapshot a version and the rows above it: no gap, no double, whatever is committed meanwhile

One process writes (it holds DATA/lock); any number read beside it. The version that a snapshot is taken of tells its
own watermark, so that nothing has to be swapped at the same moment in memory and on disk.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from spanward.store._derived import DerivedTables
from spanward.store._feed import note_feed
from spanward.store._gate import WriteGate
from spanward.store._log_tail import LogTail
from spanward.store._opening import Mode, OpenedFolder, open_folder
from spanward.store._tables import DERIVED_TABLES, SPANS_TABLE
from spanward.store._trace_places import TracePlaces
from spanward.store.batch import Batch, Signal
from spanward.store.clock import Clock, SystemClock, utc_date
from spanward.store.compaction import CompactionReport, CompactionSettings, compact
from spanward.store.compliance import ComplianceStore
from spanward.store.errors import ConfigurationError, PermanentError, StoreError
from spanward.store.hot import HotCount, HotRows, HotSource, HotTable, take
from spanward.store.layout import COMPLIANCE
from spanward.store.parquet import plan_files
from spanward.store.retention import RetentionManager, RetentionSettings
from spanward.store.schema import SPANS
from spanward.store.snapshot import Snapshot, hot_table, live_rows

_REFRESH_SECONDS: Final = 5.0
"""How old the version may be that the writing process reads, for others may compact or delete beside it."""


@dataclass(frozen=True, slots=True)
class CommitResult:
    """What a commit did.

    Attributes:
        version: the table's version after it.
        sequence: the last record of the log that this version holds.
        rows, files, bytes: what was added.
        expired: rows that were not written because they had expired already.
    """

    version: int
    sequence: int
    rows: int = 0
    files: int = 0
    bytes: int = 0
    expired: int = 0


class SpanStore:
    """The lake of one data folder. Thread-safe; calls block, so make them off the event loop.

    Attributes:
        data: the folder.
        app_id: its identity in Delta application transactions.
        keyring: its keys.
        compliance: its records of what was registered, deleted and done.
        clock: the only source of time.
    """

    def __init__(self, folder: OpenedFolder, mode: Mode, clock: Clock) -> None:
        """Use `open`."""
        self.data = folder.data
        self.app_id = folder.app_id
        self.keyring = folder.keyring
        self.clock = clock
        self.compliance = ComplianceStore(
            folder.data / COMPLIANCE, folder.keyring, clock=clock, read_only=mode is Mode.READ
        )
        self._mode = mode
        self._folder_lock = folder.lock
        self._writes = WriteGate(str(folder.data))
        self._tables = folder.tables
        self._spans = folder.tables[SPANS_TABLE.name]
        self._places = TracePlaces(self._spans.folder)
        self._derived = DerivedTables({name: folder.tables[name] for name in DERIVED_TABLES}, self.app_id, clock)
        self._appended = HotTable() if mode is Mode.WRITE else None
        self._hot: HotSource = self._appended or LogTail(folder.data, folder.keyring)
        self._commit_lock = threading.Lock()
        self._maintenance = threading.Lock()
        self._writers: dict[str, str] = {}
        self._refreshed = clock.monotonic()
        self._committed = self._spans.transaction(self.app_id)

    @classmethod
    def open(
        cls, data: Path, *, clock: Clock | None = None, read_only: bool = False, maintenance: bool = False
    ) -> Self:
        """Open a data folder, or make one.

        Args:
            data: the folder.
            clock: the only source of time; the machine's by default.
            read_only: change nothing and take no lock; another process may be writing. Its rows that are not in the
                lake yet are read from its intake log.
            maintenance: read like that, and be able to enforce retention and to write compliance records, beside the
                process that appends.

        Raises:
            LockedError: another process writes there.
            KeyringError: the keys are missing or not safe.
            StoreError: the folder is not as it must be; the message names the path and the remedy.
        """
        mode = Mode.READ if read_only else Mode.MAINTAIN if maintenance else Mode.WRITE
        return cls(open_folder(data, mode), mode, clock or SystemClock())

    @property
    def read_only(self) -> bool:
        """Whether this store changes nothing."""
        return self._mode is Mode.READ

    def claim(self, appender: str, log: Path) -> None:
        """Become the one that appends. Sequences of two logs cannot be told apart, so there is only one.

        Args:
            appender: names it in errors.
            log: folder of the intake log whose batches it appends; readers find the hot rows there.

        Raises:
            ConfigurationError: somebody else appends.
            StoreError: the disk refused.
        """
        self.claim_table(SPANS_TABLE.name, appender)
        try:
            note_feed(self.data, log)
        except OSError as error:
            self.release_table(SPANS_TABLE.name, appender)
            raise StoreError(f"{error.filename}: {error.strerror}; make it writable for this user") from error

    def release(self, appender: str) -> None:
        """Stop being the one that appends. Idempotent."""
        self.release_table(SPANS_TABLE.name, appender)

    def claim_table(self, table: str, writer: str) -> None:
        """Become the one that writes a table: its transactions count the records of one log.

        Raises:
            ConfigurationError: somebody else writes it.
        """
        holder = self._writers.setdefault(table, writer)
        if holder != writer:
            raise ConfigurationError(
                f"{writer}: {holder} writes the table {table} of {self.data} already; let one pipeline write it and "
                "name all receivers there",
            )

    def release_table(self, table: str, writer: str) -> None:
        """Stop being the one that writes a table. Idempotent."""
        if self._writers.get(table) == writer:
            del self._writers[table]

    def append(self, batch: Batch) -> None:
        """Take rows that the log holds: they are in every snapshot from now on.

        A batch whose sequence the lake or the hot rows have is a replay and ignored; otherwise sequences rise.

        Raises:
            PermanentError: the batch is no logged traces batch, or the store was opened to read.
        """
        hot = self._writable()
        if batch.signal is not Signal.TRACES or not batch.rows.schema.equals(SPANS) or batch.sequence < 1:
            raise PermanentError(
                f"the lake takes logged batches of spans, not {batch.signal} with sequence {batch.sequence}"
            )
        if batch.sequence > self.committed_sequence():
            hot.append(batch)

    def commit(self, *, at_most: int | None = None) -> CommitResult:
        """Move hot rows, oldest first, into the lake, in one version.

        Args:
            at_most: rows (but always a whole record); None for all.

        Raises:
            RetryableError: the disk refused, another writer got in the way, or the store is closed; the rows are still
                hot.
            StoreError: the table cannot be read any more.
        """
        hot = self._writable()
        with self._writes.write(), self._commit_lock:
            # a failed commit may have landed after all: what counts is what the newest version says
            self._spans.refresh()
            held = self._spans.transaction(self.app_id)
            entries = take(hot.after(held), at_most)
            result = self._write(entries) if entries else CommitResult(self._spans.version, held)
            self._committed = result.sequence
            hot.drop(result.sequence)
        return result

    def committed_sequence(self) -> int:
        """The last record of the log that the lake holds durably; 0 for none."""
        if self._appended is not None:
            return self._committed
        self._spans.refresh()
        return self._spans.transaction(self.app_id)

    def hot(self) -> HotCount:
        """What is durable in the log and not in the lake yet; in the process that writes, this reads no file."""
        if self._appended is None:
            self._catch_up()
        return self._hot.count()

    def hot_rows(self) -> int:
        """Rows that are not in the lake yet."""
        return self.hot().rows

    def hot_bytes(self) -> int:
        """What these rows take in memory."""
        return self.hot().bytes

    def snapshot(self, tenant: str | None = "default") -> Snapshot:
        """The spans of a tenant as of now; None means every tenant's (for jobs)."""
        self._catch_up()
        spans = self._spans
        with spans.lock:
            sequence = spans.transaction(self.app_id)
            return Snapshot(
                spans,
                spans.files().values(),
                self._hot.after(sequence),
                self._places,
                version=spans.version,
                sequence=sequence,
                tenant=tenant,
                today=self.today(),
            )

    def rows_after(self, sequence: int, tenant: str | None = "default") -> pa.Table:
        """Rows of log records above `sequence`, whether or not the lake holds them too.

        A read-only store finds all that the log still has. The writing one finds its hot rows only: what it committed
        is gone from memory.
        """
        self._hot.pull(sequence)
        return hot_table(self._hot.after(sequence), tenant, self.today())

    def append_table(self, table: str, rows: pa.Table, *, first: int, last: int) -> None:
        """Add rows of a derived table, computed from the log records `first` to `last`, in one version.

        Records up to `table_committed` count already: a call whose `last` is not above it is a replay and ignored.

        Raises:
            ConfigurationError: there is no such table.
            PermanentError: the store was opened to read, or the records overlap with what is in the table in part.
            RetryableError: the disk refused, another writer got in the way, or the store is closed; nothing was added.
        """
        self._writable()
        with self._writes.write():
            self._derived.append(table, rows, first=first, last=last)

    def table_committed(self, table: str) -> int:
        """The last record of the log that a table holds durably; 0 for none.

        Raises:
            ConfigurationError: there is no such table.
        """
        if table == SPANS_TABLE.name:
            return self.committed_sequence()
        if self._appended is not None:
            return self._derived.committed(table)
        self._derived.table(table).refresh()
        return self._derived.table(table).transaction(self.app_id)

    def read_table(
        self,
        table: str,
        *,
        tenant: str | None,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,  # noqa: A002 - Arrow's own name for it
    ) -> pa.Table:
        """Rows of a derived table for which the Arrow expression holds.

        Raises:
            ConfigurationError: there is no such table.
            StoreError: a file cannot be read.
        """
        return self._derived.read(table, tenant=tenant, columns=columns, condition=filter)

    def compact(self, settings: CompactionSettings | None = None) -> CompactionReport:
        """Merge small files, partition by partition; commits and snapshots go on meanwhile.

        Raises:
            RetryableError: the disk refused, or the store is closed; what was merged before is merged.
        """
        self._writable()
        with self._writes.write(), self._maintenance:
            return compact(
                self._tables.values(), self.compliance, settings or CompactionSettings(), now_ns=self.clock.now_ns
            )

    def retention(self, settings: RetentionSettings | None = None) -> RetentionManager:
        """What expires when, and its removal."""
        return RetentionManager(
            self._tables,
            self.keyring,
            self.compliance,
            settings or RetentionSettings(),
            clock=self.clock,
            lock=self._maintenance,
            hot=self._appended,
            read_only=self.read_only,
        )

    def today(self) -> dt.date:
        """The UTC day that decides what has expired."""
        return utc_date(self.clock.now_ns())

    def refresh(self) -> None:
        """Read on from the newest versions."""
        self._hot.pull(self._spans.transaction(self.app_id))
        for table in self._tables.values():
            table.refresh()
        self._refreshed = self.clock.monotonic()

    def close(self) -> None:
        """Let go of the folder, once the writes that are under way have ended. Idempotent; hot rows are in the log."""
        self._writes.shut()
        self.compliance.close()
        if self._folder_lock is not None:
            self._folder_lock.release()

    def _write(self, entries: Sequence[HotRows]) -> CommitResult:
        rows = live_rows(entries, self.today())
        sequence = entries[-1].sequence
        staged = self._spans.stage(list(plan_files(rows, self._spans.spec))) if rows.num_rows else None
        self._spans.commit(staged, transaction=(self.app_id, sequence), now_ns=self.clock.now_ns())
        files = staged.files if staged else ()
        return CommitResult(
            self._spans.version,
            sequence,
            rows=rows.num_rows,
            files=len(files),
            bytes=sum(file.bytes for file in files),
            expired=sum(entry.rows.num_rows for entry in entries) - rows.num_rows,
        )

    def _catch_up(self) -> None:
        if self._appended is None:
            # first the log, then the table: a record that moves from one to the other in between is seen in both, and
            # the watermark of the table then tells which one counts
            self.refresh()
            self._hot.drop(self._spans.transaction(self.app_id))
        elif self.clock.monotonic() - self._refreshed >= _REFRESH_SECONDS:
            self.refresh()

    def _writable(self) -> HotTable:
        if self._appended is None:
            raise PermanentError(f"{self.data} was opened to read; open it without read_only to write")
        return self._appended
