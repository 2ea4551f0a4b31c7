"""Reading the intake log, in its own process or beside it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from spanward.store._segment_files import list_folder, read_header, segment_cipher
from spanward.store._segment_scan import Frame, walk
from spanward.store._sequence_check import Damage, follow
from spanward.store._survey import Segments, bound_of
from spanward.store.errors import LogDamagedError, StoreError
from spanward.store.keyring import Keyring

_log = logging.getLogger("spanward.store.log")


class LogReader:
    """Reads records in order, and nothing else: it takes no lock and changes no file.

    A reader that the log itself made hands out acknowledged records only. One that another process opened also sees
    the record whose fsync is just under way, and takes what is half-written for the end.

    Safe to use from several threads; each `records` call is a walk of its own.
    """

    def __init__(self, folder: Path, keyring: Keyring, *, durable: Callable[[], int] | None = None) -> None:
        """Args: `durable` tells the last acknowledged sequence, in the process that writes."""
        self._folder = folder
        self._keyring = keyring
        self._durable = durable
        self._damage: dict[tuple[Path, int], LogDamagedError] = {}

    @classmethod
    def open(cls, folder: Path, keyring: Keyring) -> LogReader:
        """Read the log in `folder`, whether or not a process is writing it. A missing folder is an empty log."""
        return cls(folder, keyring)

    @property
    def folder(self) -> Path:
        """Where the log lies; tells the logs of several pipelines apart."""
        return self._folder

    @property
    def last_sequence(self) -> int:
        """The highest sequence there is to read (or that was, if the log is empty now); 0 when nothing ever was.

        Raises:
            StoreError: the folder cannot be read.
        """
        if self._durable is not None:
            return self._durable()
        while True:
            segments = self._list()
            if not segments:
                return 0
            try:
                return _last_of(*segments[-1])
            except FileNotFoundError:
                continue  # removed since it was listed; a newer one stands in its place
            except OSError as error:
                raise _unreadable(segments[-1][1], error) from error

    def records(self, after: int) -> Iterator[tuple[int, bytes]]:
        """The records with a sequence above `after`, as (sequence, payload) in order, up to the present end.

        Segments may be begun and removed meanwhile: what is removed was no longer needed by anyone, and is passed
        over. Damage is logged, kept for `damage`, and passed over.

        Raises:
            KeyringError: the log was written under another keyring.
            StoreError: it was written by a newer version, or cannot be read.
        """
        end = None if self._durable is None else self._durable()
        finished = -1
        while True:
            segments = self._list()
            index = _next_segment(segments, after, finished)
            if index is None:
                return
            try:
                for frame in self._frames(segments, index):
                    if end is not None and frame.sequence > end:
                        return
                    if frame.sequence > after:
                        after = frame.sequence
                        yield frame.sequence, frame.payload
            except FileNotFoundError:
                continue  # list anew
            except OSError as error:
                raise _unreadable(segments[index][1], error) from error
            finished = segments[index][0]

    def damage(self) -> tuple[LogDamagedError, ...]:
        """What this reader had to pass over so far."""
        return tuple(self._damage.values())

    def _list(self) -> Segments:
        try:
            return list_folder(self._folder).segments
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise _unreadable(self._folder, error) from error

    def _frames(self, segments: Segments, index: int) -> Iterator[Frame]:
        path = segments[index][1]
        bound = bound_of(segments, index)
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            header, _ = read_header(descriptor)
            if header is None:
                path.stat()  # a segment that is being removed loses its header first: then list anew
                self._note(path, 0, os.fstat(descriptor).st_size, "both copies of the header are damaged")
                return
            pieces = walk(descriptor, segment_cipher(path, header, self._keyring.unwrap))
            for finding in follow(pieces, header.first, bound):
                if isinstance(finding, Frame):
                    yield finding
                elif isinstance(finding, Damage) and not self._is_in_flight(finding, descriptor, bound):
                    self._note(path, finding.offset, finding.length, finding.why)
        finally:
            os.close(descriptor)

    def _is_in_flight(self, damage: Damage, descriptor: int, bound: int | None) -> bool:
        """Whether the damage may be a record that is just being written: it ends the newest segment."""
        return bound is None and damage.offset + damage.length >= os.fstat(descriptor).st_size

    def _note(self, path: Path, offset: int, length: int, why: str) -> None:
        if (path, offset) not in self._damage:
            damage = LogDamagedError(path, offset, length, why)
            self._damage[path, offset] = damage
            _log.error("%s", damage)


def _next_segment(segments: Segments, after: int, finished: int) -> int | None:
    """Index of the segment to read next: not read yet, and with something above `after` in it."""
    for index, (first, _) in enumerate(segments):
        following = segments[index + 1][0] if index + 1 < len(segments) else None
        if first > finished and (following is None or following > after + 1):
            return index
    return None


def _last_of(first: int, path: Path) -> int:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        header, _ = read_header(descriptor)
        if header is not None:
            first, last = header.first, header.after
        else:
            last = first - 1
        for finding in follow(walk(descriptor, None), first, None):
            if isinstance(finding, Frame):
                last = finding.sequence
        return last
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be read: {error.strerror}; give this user the right to read it")
