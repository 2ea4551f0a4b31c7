"""The segments of a log that is open for writing: which one is written, which may go, and what number comes next.

Not safe across threads by itself: the log calls it under its lock. OSErrors pass through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanward.store._durable import sync_folder
from spanward.store._log_recovery import ClosedSegment, RecoveredLog
from spanward.store._segment import HEADER_BYTES, RECORD_OVERHEAD, SegmentHeader
from spanward.store._segment_files import create_segment, remove_segment, set_aside
from spanward.store._segment_writer import SegmentWriter

_log = logging.getLogger("spanward.store.log")

_KEY_BITS: Final = 256


class SegmentChain:
    """Closed segments, oldest first, and behind them the active one, if there is one.

    Attributes:
        last: the last acknowledged sequence.
        next: the sequence that the next record gets.
    """

    def __init__(
        self,
        folder: Path,
        recovered: RecoveredLog,
        *,
        wrap: Callable[[bytes], bytes],
        now_ns: Callable[[], int],
        segment_bytes: int,
    ) -> None:
        """Args: `wrap` is `Keyring.wrap`; a segment that would grow beyond `segment_bytes` gets a successor."""
        self.last = recovered.last
        self.next = recovered.next
        self._folder = folder
        self._wrap = wrap
        self._now_ns = now_ns
        self._segment_bytes = segment_bytes
        self._closed = recovered.closed
        self._active = recovered.active

    @property
    def size_bytes(self) -> int:
        """Bytes of all segments; may be read from any thread, without the lock."""
        active = self._active
        return sum(segment.size for segment in tuple(self._closed)) + (0 if active is None else active.size)

    @property
    def active_has_records(self) -> bool:
        """Whether there is something to read in the segment that is being written."""
        return self._active is not None and self._active.size > HEADER_BYTES

    def append(self, payload: bytes) -> int:
        """Write one record, in a new segment if need be, and return its sequence.

        Raises:
            OSError: the disk refused. The record is void, its number spent, and the next one goes to a fresh segment.
        """
        try:
            self._writable(len(payload)).append(self.next, payload)
        except OSError:
            self.next += 1
            self._retire(SegmentWriter.abandon)
            raise
        self.last = self.next
        self.next += 1
        return self.last

    def skip_to(self, sequence: int) -> None:
        """Let the next record have this sequence."""
        self.close()  # numbers rise without a gap inside a segment
        self.next = sequence

    def renew(self) -> SegmentWriter:
        """Go on in a fresh segment.

        Raises:
            OSError: it could not be made. There is no active segment now; the next `append` or `renew` tries again.
        """
        self.close()
        key = AESGCM.generate_key(bit_length=_KEY_BITS)
        header = SegmentHeader(self.next, self.last, self._now_ns(), self._wrap(key))
        try:
            self._active = SegmentWriter(create_segment(self._folder, header), AESGCM(key))
        except OSError:
            self.next += 1  # its number is in the name of a file that may be there now
            raise
        return self._active

    def close(self) -> None:
        """Write to the active segment no more."""
        self._retire(SegmentWriter.close)

    def doomed(self, committed: int) -> list[ClosedSegment]:
        """The oldest segments that nobody needs; never the newest file, for it is what remembers the sequence."""
        candidates = self._closed if self._active is not None else self._closed[:-1]
        return list(takewhile(lambda segment: segment.last <= committed, candidates))

    def newest_is_doomed(self, committed: int) -> bool:
        """Whether nobody needs the newest segment either, once another one remembers the sequence."""
        if self.last > committed:
            return False
        return bool(self._closed) if self._active is None else self.active_has_records

    def record_bytes(self, committed: int) -> int:
        """Bytes of the records in all segments that nobody needs."""
        sizes = [segment.size for segment in self.doomed(committed)]
        if self.newest_is_doomed(committed):
            sizes.append((self._active or self._closed[-1]).size)
        return sum(max(0, size - HEADER_BYTES) for size in sizes)

    def remove(self, doomed: Sequence[ClosedSegment]) -> None:
        """Remove closed segments, the damaged ones by setting them aside.

        Raises:
            OSError: the disk refused; those that were not removed yet are still in the chain.
        """
        for segment in doomed:
            if segment.damaged:
                aside = set_aside(segment.path)
                _log.warning("%s is damaged, and kept as %s; remove it when it is of no use", segment.path, aside.name)
            else:
                remove_segment(segment.path)
            self._closed.remove(segment)
        if doomed:
            sync_folder(self._folder)

    def _writable(self, length: int) -> SegmentWriter:
        active = self._active
        if active is not None:
            is_full = active.size + length + RECORD_OVERHEAD > self._segment_bytes
            if active.size == HEADER_BYTES or not is_full:
                return active
        return self.renew()

    def _retire(self, how: Callable[[SegmentWriter], None]) -> None:
        active = self._active
        if active is not None:
            how(active)
            # first into the list, then out of its place: a reader of `size_bytes` may count it twice, never miss it
            self._closed.append(ClosedSegment(active.path, self.last, active.size))
            self._active = None
