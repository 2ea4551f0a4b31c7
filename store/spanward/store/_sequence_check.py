"""Which of a segment's records count, and what is missing between them.

The sequences of a segment rise by one from the number in its header on. They end at the `after` of the next segment's
header, the bound: records beyond it were written but refused to their callers (the disk failed before they were
safe), and the callers sent them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from spanward.store._segment_scan import Frame, Hole


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that cannot be read, or records that are not there.

    Attributes:
        offset, length: where, in bytes; length 0 when records are missing without a trace.
        why: what is lost, in words.
    """

    offset: int
    length: int
    why: str


def follow(pieces: Iterable[Frame | Hole], first: int, bound: int | None) -> Iterator[Frame | Hole | Damage]:
    """The frames that count, in rising sequence, with the damage before each.

    Args:
        pieces: a walk through the segment.
        first: the sequence that its first record has.
        bound: the last sequence that counts; None for the newest segment, which has no such bound yet.

    Yields:
        Frames, damage, and at the very end the hole of a write that never finished, if there is one.
    """
    expected, position = first, 0
    hole: Hole | None = None
    for piece in pieces:
        if isinstance(piece, Hole):
            hole = piece if hole is None else Hole(hole.offset, piece.end, torn=False)
        elif bound is not None and piece.sequence > bound:
            hole = None
            break
        elif piece.sequence < expected:  # a record that stands here a second time
            hole = Hole(piece.offset if hole is None else hole.offset, piece.end)
        else:
            if hole is not None or piece.sequence > expected:
                yield _damage(hole, piece.offset, lost(expected, piece.sequence - 1))
            yield piece
            expected, position, hole = piece.sequence + 1, piece.end, None
    yield from _tail(hole, position, expected, bound)


def lost(first: int, last: int) -> str:
    """Words for a range of sequences."""
    if last < first:
        return "no record is missing there"
    return f"sequence {first} is lost" if first == last else f"sequences {first} to {last} are lost"


def _tail(hole: Hole | None, position: int, expected: int, bound: int | None) -> Iterator[Hole | Damage]:
    if bound is not None and bound >= expected:  # acknowledged, and not found
        # numbers up to the bound may have been passed over, so that this is the most that can be missing
        yield _damage(hole, position, f"{lost(expected, bound)}, if used")
    elif hole is not None and hole.torn:
        yield hole
    elif hole is not None and bound is None:
        yield _damage(hole, position, f"what was there is unknown; the last good sequence is {expected - 1}")
    elif hole is not None:
        yield _damage(hole, position, "nothing that was acknowledged since is missing there")


def _damage(hole: Hole | None, position: int, why: str) -> Damage:
    return Damage(position, 0, why) if hole is None else Damage(hole.offset, hole.end - hole.offset, why)
