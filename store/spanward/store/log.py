"""The intake log: what was acknowledged and is not in the lake yet.

A folder of segment files (docs/log-format.md). Records are opaque bytes, encrypted under a key that lives and dies with
their segment. A record is acknowledged when it is fsynced; a write that fails leaves nothing that counts.

What holds, also across crashes, full disks and damaged sectors:
- `append` returned: the record is read back, or its loss is reported. No good record behind a damaged one is lost.
- `append` raised: the record is never read back by this process, and its number is never used again.
- Sequences rise, and are never used twice, even when every record has been removed.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanward.store._durable import make_folder
from spanward.store._folder_lock import FolderLock
from spanward.store._log_reader import LogReader
from spanward.store._log_recovery import RecoveredLog, recover_log
from spanward.store._segment import MAX_PAYLOAD_BYTES
from spanward.store._segment_chain import SegmentChain
from spanward.store.clock import Clock
from spanward.store.errors import LogDamagedError, PermanentError, RetryableError, StoreError
from spanward.store.keyring import Keyring

__all__ = ["DEFAULT_SEGMENT_BYTES", "MAX_PAYLOAD_BYTES", "IntakeLog", "LogReader", "Reclaimable"]

DEFAULT_SEGMENT_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Reclaimable:
    """What `IntakeLog.truncate` would remove.

    Attributes:
        through: every record up to this sequence would go; 0 when none would.
        record_bytes: what these records take.
    """

    through: int
    record_bytes: int


class IntakeLog:
    """The writer's side. One a folder; every method may be called from any thread.

    Attributes:
        torn: the write that never finished and was cut off when the log was opened, if there was one.
        foreign: what lies in the folder and is not the log's; it is left alone.
    """

    def __init__(
        self,
        folder: Path,
        keyring: Keyring,
        lock: FolderLock,
        recovered: RecoveredLog,
        *,
        segment_bytes: int,
        clock: Clock,
    ) -> None:
        self._folder = folder
        self._keyring = keyring
        self._folder_lock = lock
        self._lock = threading.RLock()
        self._chain = SegmentChain(
            folder, recovered, wrap=keyring.wrap, now_ns=clock.now_ns, segment_bytes=segment_bytes
        )
        self._damage = recovered.damage
        self._is_open = True
        self.torn = recovered.torn
        self.foreign = recovered.foreign

    @classmethod
    def open(
        cls, folder: Path, keyring: Keyring, *, segment_bytes: int = DEFAULT_SEGMENT_BYTES, clock: Clock
    ) -> IntakeLog:
        """Lock the folder, examine all of it, and be ready to append.

        A write that never finished is cut off the end. Damage is left as it is, passed over and reported by `damage`;
        a damaged segment is never appended to. Files that are not the log's are left alone (`foreign`).

        Args:
            folder: made if it is not there.
            keyring: whose master key wraps the segments' keys.
            segment_bytes: a segment that has reached this size is closed and another one begun.
            clock: for the time in segment headers.

        Raises:
            LockedError: another process has the log open.
            KeyringError: the log was written under another keyring.
            StoreError: it was written by a newer version, or the folder cannot be read or written.
        """
        try:
            make_folder(folder)
            lock = FolderLock(folder)
        except OSError as error:
            raise StoreError(
                f"{folder} cannot be used: {error.strerror}; make it a folder this user can write"
            ) from error
        try:
            recovered = recover_log(folder, keyring.unwrap)
            return cls(folder, keyring, lock, recovered, segment_bytes=segment_bytes, clock=clock)
        except OSError as error:
            lock.release()
            raise StoreError(f"{error.filename or folder}: {error.strerror}; mend the disk or its rights") from error
        except BaseException:
            lock.release()
            raise

    def append(self, payload: bytes) -> int:
        """Write one record and wait until it is on the disk.

        Returns:
            The record's sequence.

        Raises:
            RetryableError: the disk refused, or the log is closed. The record does not count, now or later; its number
                is spent.
            PermanentError: the payload is longer than MAX_PAYLOAD_BYTES.
        """
        if len(payload) > MAX_PAYLOAD_BYTES:
            raise PermanentError(f"a log record of {len(payload)} bytes is over {MAX_PAYLOAD_BYTES}; send less at once")
        with self._lock, self._translated("the intake log cannot be written", "free or mend the disk"):
            return self._chain.append(payload)

    def reserve(self, sequence: int) -> None:
        """Never use a number up to `sequence`.

        For the case that somebody emptied the folder: whoever has consumed records under these numbers would take new
        records under the same numbers for old ones.
        """
        with self._lock:
            if sequence >= self._chain.next:
                self._chain.skip_to(sequence + 1)

    def roll(self) -> None:
        """Close the segment that is being written, if it has records, so that it can be truncated as a whole.

        Raises:
            RetryableError: the disk refused a new segment; the next `append` tries again.
        """
        with self._lock, self._translated("no segment can be begun", "free disk space"):
            if self._chain.active_has_records:
                self._chain.renew()

    def reclaimable(self, committed: int) -> Reclaimable:
        """What `truncate(committed)` would remove now."""
        with self._lock:
            chain = self._chain
            through = max((segment.last for segment in chain.doomed(committed)), default=0)
            if chain.newest_is_doomed(committed):
                through = chain.last
            return Reclaimable(through, chain.record_bytes(committed))

    def truncate(self, committed: int) -> None:
        """Remove the segments all of whose records have a sequence up to `committed`, oldest first.

        The newest one goes too if all its records may: an empty one, which remembers the sequence, takes its place. A
        damaged segment is not removed but set aside as `*.log.damaged`.

        Raises:
            RetryableError: the disk refused; what was not removed yet is still there.
        """
        with self._lock, self._translated("the intake log cannot be truncated", "mend the disk"):
            # older ones first: on a full disk they make the room that the new segment needs
            self._chain.remove(self._chain.doomed(committed))
            if self._chain.newest_is_doomed(committed):
                self._chain.renew()
                self._chain.remove(self._chain.doomed(committed))

    def damage(self) -> tuple[LogDamagedError, ...]:
        """What could not be read when the log was opened, file by file."""
        return self._damage

    @property
    def last_sequence(self) -> int:
        """The sequence of the last acknowledged record, also when it has been removed since; 0 before the first.

        After damage at the log's end, when nobody knows how many records that held, the highest it can have been.
        """
        return self._chain.last

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments. Does not wait for an `append` that is under way."""
        return self._chain.size_bytes

    def reader(self) -> LogReader:
        """A reader that sees every record as soon as it is acknowledged, and none before."""
        return LogReader(self._folder, self._keyring, durable=lambda: self._chain.last)

    def close(self) -> None:
        """Let go of files and lock. Idempotent; what was acknowledged is safe with or without it."""
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._chain.close()
                self._folder_lock.release()

    @contextmanager
    def _translated(self, what: str, remedy: str) -> Generator[None]:
        if not self._is_open:
            raise RetryableError(f"{self._folder}: the intake log is closed; start the sidecar again")
        try:
            yield
        except OSError as error:
            raise RetryableError(f"{self._folder}: {what}: {error.strerror}; {remedy}") from error
