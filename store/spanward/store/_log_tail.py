"""Hot rows for a process that only reads: from the intake log, while another process may be writing it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from spanward.store._feed import feeding_logs
from spanward.store.hot import HotCount, HotRows
from spanward.store.keyring import Keyring
from spanward.store.log import LogReader
from spanward.store.records import decode_rows


class LogTail:
    """Rows of log records, read once and kept until they are dropped."""

    def __init__(self, data: Path, keyring: Keyring) -> None:
        """Args: `data` is the data folder."""
        self._data = data
        self._keyring = keyring
        self._lock = threading.Lock()
        self._entries: dict[int, HotRows] = {}
        self._read_after: int | None = None
        self._read_to = 0

    def pull(self, after: int) -> None:
        """Read what the log has by now above `after`.

        Raises:
            KeyringError: the log is encrypted under another keyring.
            StoreError: it cannot be read.
        """
        with self._lock:
            if self._read_after is None or after < self._read_after:
                self._read_after, self._read_to = after, after
            for entry in self._records(max(after, self._read_to)):
                self._entries[entry.sequence] = entry
                self._read_to = max(self._read_to, entry.sequence)

    def after(self, sequence: int) -> Sequence[HotRows]:
        """The rows of records above `sequence`, in order."""
        with self._lock:
            return [self._entries[key] for key in sorted(self._entries) if key > sequence]

    def drop(self, sequence: int) -> None:
        """Forget the rows of records up to `sequence`."""
        with self._lock:
            self._entries = {key: entry for key, entry in self._entries.items() if key > sequence}
            if self._read_after is not None:
                self._read_after = max(self._read_after, sequence)

    def count(self) -> HotCount:
        """What is held."""
        with self._lock:
            entries = self._entries.values()
            rows = sum(entry.rows.num_rows for entry in entries)
            return HotCount(len(entries), rows, sum(entry.bytes for entry in entries))

    def _records(self, after: int) -> Iterator[HotRows]:
        for folder in feeding_logs(self._data):
            for sequence, payload in LogReader.open(folder, self._keyring).records(after):
                rows = decode_rows(payload)
                if rows is not None:
                    yield HotRows(sequence, rows, rows.get_total_buffer_size())
