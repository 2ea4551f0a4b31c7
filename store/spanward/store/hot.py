"""Rows that are durable in the intake log and not in the lake yet: queryable at once, in memory.

A snapshot takes the rows above the sequence that its version of the table says it holds. Dropping what was committed
therefore only frees memory; it cannot make a row vanish or show twice.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from spanward.store.batch import Batch


@dataclass(frozen=True, slots=True)
class HotRows:
    """The rows of one log record.

    Attributes:
        sequence: the record's number.
        rows: schema `SPANS`.
        bytes: what they take in memory.
    """

    sequence: int
    rows: pa.RecordBatch
    bytes: int


@dataclass(frozen=True, slots=True)
class HotCount:
    """How much is hot.

    Attributes:
        records: log records; one may have no rows, when the policy dropped all of them.
        rows, bytes: what they hold.
    """

    records: int
    rows: int
    bytes: int


class HotSource(Protocol):
    """Where a store gets the rows that the lake does not have."""

    def pull(self, after: int) -> None:
        """Make sure that the rows of records above `after` that exist by now are among those `after()` returns."""
        ...

    def after(self, sequence: int) -> Sequence[HotRows]:
        """The rows of records above `sequence`, in order."""
        ...

    def drop(self, sequence: int) -> None:
        """Forget the rows of records up to `sequence`."""
        ...

    def count(self) -> HotCount:
        """What is held."""
        ...


class HotTable:
    """The hot rows of the process that writes. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[HotRows] = deque()
        self._rows = 0
        self._bytes = 0
        self._last = 0

    def append(self, batch: Batch) -> bool:
        """Take a batch; one whose sequence does not rise is a repeat and ignored.

        Returns:
            False for a repeat.
        """
        entry = HotRows(batch.sequence, batch.rows, batch.rows.get_total_buffer_size())
        with self._lock:
            if batch.sequence <= self._last:
                return False
            self._last = batch.sequence
            self._entries.append(entry)
            self._rows += entry.rows.num_rows
            self._bytes += entry.bytes
            return True

    def pull(self, after: int) -> None:
        """Nothing to do: rows come by `append`."""

    def after(self, sequence: int) -> Sequence[HotRows]:
        """The rows of records above `sequence`, in order."""
        with self._lock:
            return [entry for entry in self._entries if entry.sequence > sequence]

    def drop(self, sequence: int) -> None:
        """Forget the rows of records up to `sequence`."""
        with self._lock:
            while self._entries and self._entries[0].sequence <= sequence:
                entry = self._entries.popleft()
                self._rows -= entry.rows.num_rows
                self._bytes -= entry.bytes

    def count(self) -> HotCount:
        """What is held."""
        with self._lock:
            return HotCount(len(self._entries), self._rows, self._bytes)

    def replace(self, entries: Sequence[HotRows]) -> None:
        """Put entries in the place of those of the same sequence (a purge); others stay as they are."""
        changed = {entry.sequence: entry for entry in entries}
        with self._lock:
            self._entries = deque(changed.get(entry.sequence, entry) for entry in self._entries)
            self._rows = sum(entry.rows.num_rows for entry in self._entries)
            self._bytes = sum(entry.bytes for entry in self._entries)


def take(entries: Sequence[HotRows], at_most: int | None) -> Sequence[HotRows]:
    """The oldest entries of together at most so many rows, but at least one: a record is never split."""
    if at_most is None:
        return entries
    rows = 0
    for count, entry in enumerate(entries):
        rows += entry.rows.num_rows
        if rows > at_most:
            return entries[: max(count, 1)]
    return entries
