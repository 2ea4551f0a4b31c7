"""What state a log folder is in: the examination that opening a log begins with.

Nothing is changed here. Every segment is walked through and every record checked, so that what is lost is known, and
said, before the first client is served.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from spanward.store._segment import HEADER_BLOCK_BYTES, HEADER_BYTES, RECORD_OVERHEAD
from spanward.store._segment_files import read_header, segment_cipher
from spanward.store._segment_scan import Frame, Hole, walk
from spanward.store._sequence_check import Damage, follow
from spanward.store.errors import LogDamagedError

Segments = tuple[tuple[int, Path], ...]
"""(first sequence by the name, path), ascending."""


@dataclass(slots=True)
class SegmentState:
    """A segment as it was found.

    Attributes:
        path, first: the file, and the sequence in its name.
        last: the sequence of its last good record; when it has none, the last that was acknowledged before it.
        size: bytes of the file.
        good_end: offset behind its last good record.
        ceiling: no record in it, readable or not, has a higher sequence than this.
        torn: where a write that never finished begins, if it ends in one.
        damage: what in it cannot be read.
    """

    path: Path
    first: int
    last: int
    size: int
    good_end: int = HEADER_BYTES
    ceiling: int = 0
    torn: Hole | None = None
    damage: list[LogDamagedError] = field(default_factory=list)


def survey(segments: Segments, unwrap: Callable[[bytes], bytes]) -> list[SegmentState]:
    """Examine segments in the order of their numbers.

    Args:
        segments: what is there.
        unwrap: `Keyring.unwrap`.

    Raises:
        KeyringError: a segment was written under another keyring.
        StoreError: a segment was written by a newer version.
        OSError: the disk refused to read.
    """
    return [_examine(segments, index, unwrap) for index in range(len(segments))]


def bound_of(segments: Segments, index: int) -> int | None:
    """The last sequence of a segment that counts, which the next one's header tells; None for the newest.

    Raises:
        FileNotFoundError: the next segment is not there any more.
        StoreError: it was written by a newer version.
        OSError: the disk refused to read.
    """
    if index + 1 == len(segments):
        return None
    first, path = segments[index + 1]
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header, _ = read_header(descriptor)
    finally:
        os.close(descriptor)
    return first - 1 if header is None else header.after


def _examine(segments: Segments, index: int, unwrap: Callable[[bytes], bytes]) -> SegmentState:
    first, path = segments[index]
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        header, damaged_copies = read_header(descriptor)
        if header is None:
            return _count_only(SegmentState(path, first, first - 1, size), descriptor)
        state = SegmentState(path, first, header.after, size, ceiling=first - 1)
        for offset in damaged_copies:
            why = "one copy of the header is damaged, the other one serves; nothing is lost"
            state.damage.append(LogDamagedError(path, offset, HEADER_BLOCK_BYTES, why))
        pieces = _with_ceiling(state, walk(descriptor, segment_cipher(path, header, unwrap)))
        _note(state, follow(pieces, header.first, bound_of(segments, index)))
        return state
    finally:
        os.close(descriptor)


def _note(state: SegmentState, findings: Iterator[Frame | Hole | Damage]) -> None:
    for finding in findings:
        match finding:
            case Frame():
                state.last, state.good_end = finding.sequence, finding.end
            case Hole():
                state.torn = finding
            case Damage():
                state.damage.append(LogDamagedError(state.path, finding.offset, finding.length, finding.why))


def _with_ceiling(state: SegmentState, pieces: Iterator[Frame | Hole]) -> Iterator[Frame | Hole]:
    """Pass the pieces through, keeping count of the highest number that any of them can have had."""
    for piece in pieces:
        if isinstance(piece, Frame):
            state.ceiling = max(state.ceiling, piece.sequence)
        elif not piece.torn:
            state.ceiling += (piece.end - piece.offset) // RECORD_OVERHEAD + 1
        yield piece


def _count_only(state: SegmentState, descriptor: int) -> SegmentState:
    """Both copies of the header are gone, and the key with them: records can be counted, not read."""
    state.ceiling = state.last
    for piece in _with_ceiling(state, walk(descriptor, None)):
        if isinstance(piece, Frame):
            state.last = max(state.last, piece.sequence)
    lost = f"its records up to {state.last} are lost" if state.last >= state.first else "no record of it was found"
    why = f"both copies of the header are damaged; {lost}"
    state.damage.append(LogDamagedError(state.path, 0, state.size, why))
    return state
