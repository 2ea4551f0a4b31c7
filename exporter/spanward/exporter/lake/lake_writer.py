"""The one writer of a lake folder inside an application: intake log, hot rows, commits in the background.

It is what the sidecar does, without the network: rows are safe when the log has them on disk, and become files of the
table a little later, many batches in one version. The log is the sidecar's own (`traces`), so that a sidecar may take
the folder over, and find nothing missing and nothing double.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from pathlib import Path
from typing import Final, Self

import pyarrow as pa

from spanward.processor.policy.locks import ForkSafeLock
from spanward.store.batch import Batch, Signal
from spanward.store.clock import Clock, SystemClock
from spanward.store.errors import ConfigurationError, LockedError, PermanentError, SpanwardError
from spanward.store.layout import intake_folder
from spanward.store.log import IntakeLog
from spanward.store.records import RequestEntry, SpansRecord, decode_rows, encode
from spanward.store.span_store import SpanStore

PIPELINE: Final = "traces"
_MOST_HOT_ROWS: Final = 50_000
_PERCENTILES: Final = "percentiles"

_log = logging.getLogger("spanward.exporter.lake")
_writers: dict[Path, LakeWriter] = {}
_writers_lock = ForkSafeLock()


class LakeWriter:
    """Writes into one folder for all exporters of this process. Thread-safe. Made by `open`, let go by `close`."""

    def __init__(self, folder: Path, *, commit_interval_seconds: float, clock: Clock) -> None:
        self.folder = folder
        self.store, self._log = _open(folder, clock)
        self._process = os.getpid()
        self._interval = commit_interval_seconds
        self._users = 0
        self._append_lock = threading.Lock()
        self._commit_lock = threading.Lock()
        self._stop = threading.Event()
        self._replay()
        self._thread = threading.Thread(target=self._run, name="spanward-lake-commits", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, folder: Path, *, commit_interval_seconds: float, clock: Clock | None = None) -> Self:
        """The writer of a folder: the one that this process has, or a new one. Each `open` takes a `close`.

        Raises:
            LockedError: another process, such as a sidecar, writes into the folder.
            StoreError: the folder is not as it must be; the message names the path and the remedy.
        """
        path = folder.resolve()
        with _writers_lock:
            writer = _writers.get(path)
            if writer is None or writer.is_inherited:
                writer = cls(path, commit_interval_seconds=commit_interval_seconds, clock=clock or SystemClock())
                _writers[path] = writer
            writer._users += 1
        return writer  # type: ignore[return-value]  # one class, no heirs

    @property
    def is_inherited(self) -> bool:
        """Whether this is the copy in a forked child.

        It knows the log as it was at the fork, while the parent writes on: to write here would be to write over what
        the parent was told is safe.
        """
        return os.getpid() != self._process

    def check_process(self) -> None:
        """Refuse to work in a forked child.

        Raises:
            PermanentError: this is one.
        """
        if self.is_inherited:
            raise PermanentError(
                f"{self.folder} belongs to process {self._process}, of which this is a fork; "
                "call configure() after the fork, with a folder of its own or a sidecar's endpoint"
            )

    def append(self, rows: pa.RecordBatch, *, tenant: str, received_at_ns: int) -> None:
        """Take governed rows; when this returns they are on disk, in the log.

        Raises:
            RetryableError: the disk refused; the rows do not count.
            PermanentError: more rows than one log record can hold, or the process is a forked child.
        """
        self.check_process()
        # the key is random: two calls with equal rows are two calls here, for no client repeats a request it got no
        # answer to
        request = RequestEntry(tenant, secrets.token_hex(32), 0, rows.num_rows, received_at_ns, 0, "")
        payload = encode(SpansRecord(rows, [request]))
        with self._append_lock:
            sequence = self._log.append(payload)
            self.store.append(Batch(Signal.TRACES, rows, sequence))
        if self.store.hot_rows() >= _MOST_HOT_ROWS:
            self.try_commit()

    def try_commit(self) -> bool:
        """Move the rows of the log into the table; False when the disk refuses, and then the log keeps them."""
        if self.is_inherited:
            return False
        try:
            with self._commit_lock:
                self.store.commit()
                self._log.truncate(self._droppable())
        except SpanwardError as error:
            _log.warning("%s: rows stay in the intake log until the next attempt: %s", self.folder, error)
            return False
        return True

    def close(self) -> None:
        """Let go; the last user commits what is left and closes the folder."""
        with _writers_lock:
            self._users -= 1
            if self._users > 0 or self.is_inherited:
                return
            _writers.pop(self.folder, None)
            self._stop.set()
            self._thread.join()
            self.try_commit()
            self._log.close()
            self.store.close()

    def _replay(self) -> None:
        """Take up what a crash, or a sidecar, left in the log."""
        committed = self.store.committed_sequence()
        self._log.reserve(committed)
        for sequence, payload in self._log.reader().records(committed):
            rows = decode_rows(payload)
            if rows is not None:
                self.store.append(Batch(Signal.TRACES, rows, sequence))

    def _droppable(self) -> int:
        """Up to where nobody needs the log: percentiles count too, where a sidecar keeps them."""
        committed = self.store.committed_sequence()
        percentiles = self.store.table_committed(_PERCENTILES)
        return min(committed, percentiles) if percentiles else committed

    def _run(self) -> None:
        while not self._stop.wait(self._interval):
            if self.store.hot_rows():
                self.try_commit()


def _open(folder: Path, clock: Clock) -> tuple[SpanStore, IntakeLog]:
    try:
        store = SpanStore.open(folder, clock=clock)
    except LockedError as error:
        raise LockedError(
            f"{error}; when it is a sidecar, send to it: configure(endpoint='http://localhost:4317')"
        ) from error
    try:
        log = intake_folder(folder, PIPELINE)
        store.claim(PIPELINE, log)
        return store, IntakeLog.open(log, store.keyring, clock=clock)
    except BaseException:
        store.close()
        raise


def check_interval(seconds: float) -> float:
    """A commit interval that makes sense.

    Raises:
        ConfigurationError: it is not above 0.
    """
    if not seconds > 0:
        raise ConfigurationError(f"commit_interval_seconds={seconds} is not above 0")
    return seconds
