"""From a folder as it was left to a log that can go on."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spanward.store._segment_files import finish_removals, list_folder, read_header, segment_cipher
from spanward.store._segment_writer import SegmentWriter
from spanward.store._survey import SegmentState, survey
from spanward.store.errors import LogDamagedError

_log = logging.getLogger("spanward.store.log")


@dataclass(slots=True)
class ClosedSegment:
    """A segment that is not written any more.

    Attributes:
        path: the file.
        last: no record in it that was acknowledged and can be read has a higher sequence.
        size: its bytes.
        damaged: True when some of them cannot be read.
    """

    path: Path
    last: int
    size: int
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class RecoveredLog:
    """Where a log goes on.

    Attributes:
        closed: all segments but the active one, oldest first.
        active: the newest one, opened for writing; None when it is damaged or there is none.
        last: no record that was acknowledged has a higher sequence, readable or not.
        next: the first sequence that was never used.
        damage: what cannot be read.
        torn: the write that never finished and was cut off.
        foreign: what in the folder is not the log's.
    """

    closed: list[ClosedSegment]
    active: SegmentWriter | None
    last: int
    next: int
    damage: tuple[LogDamagedError, ...]
    torn: LogDamagedError | None
    foreign: tuple[Path, ...]


def recover_log(folder: Path, unwrap: Callable[[bytes], bytes]) -> RecoveredLog:
    """Examine the folder, tidy up after a process that died, and open the newest segment. Under the folder's lock.

    Raises:
        KeyringError: the log was written under another keyring.
        StoreError: it was written by a newer version.
        OSError: the disk refused.
    """
    listing = list_folder(folder)
    finish_removals(listing)
    for path in listing.foreign:
        _log.warning("%s does not belong to the intake log and is left alone", path)
    states = survey(listing.segments, unwrap)
    closed = [ClosedSegment(state.path, state.last, state.size, bool(state.damage)) for state in states]
    newest = states[-1] if states else None
    active = None
    if newest is not None and not newest.damage:
        active = _resume(newest, unwrap)
        closed.pop()
    return RecoveredLog(
        closed,
        active,
        last=max((_highest_acknowledged(state) for state in states[-1:]), default=0),
        next=1 if newest is None else _highest_spent(newest) + 1,
        damage=tuple(damage for state in states for damage in state.damage),
        torn=None if active is None or newest is None else _torn(newest),
        foreign=listing.foreign,
    )


def _resume(newest: SegmentState, unwrap: Callable[[bytes], bytes]) -> SegmentWriter:
    """Go on in the newest segment, behind its last good record."""
    descriptor = os.open(newest.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header, _ = read_header(descriptor)
    finally:
        os.close(descriptor)
    assert header is not None, "a segment without a header is a damaged one"
    return SegmentWriter(newest.path, segment_cipher(newest.path, header, unwrap), size=newest.good_end)


def _torn(newest: SegmentState) -> LogDamagedError | None:
    if newest.torn is None:
        return None
    offset = newest.torn.offset
    torn = LogDamagedError(newest.path, offset, newest.size - offset, "a write that never finished; it was cut off")
    _log.warning("%s", torn)
    return torn


def _highest_acknowledged(newest: SegmentState) -> int:
    """The highest number that a record can have that was acknowledged.

    What cannot be read counts: should the disk give it back one day, it must not pass for a record that was refused.
    """
    return max(newest.ceiling, newest.last) if newest.damage else newest.last


def _highest_spent(newest: SegmentState) -> int:
    """The highest number that can have been used; the newest segment began behind all that the others used."""
    if newest.damage:  # it will not be written to, so even the number in its name is spent
        return max(_highest_acknowledged(newest), newest.first)
    return max(newest.last, newest.first - 1)
