"""The segment files of a log folder: their names, their headers and their keys."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanward.store._durable import TEMPORARY_SUFFIX, publish, sync_folder, write_all
from spanward.store._folder_lock import LOCK_FILE
from spanward.store._segment import HEADER_BYTES, VERSION, SegmentHeader, decode_header
from spanward.store.errors import KeyringError, StoreError

DAMAGED_SUFFIX: Final = ".damaged"
"""Ends the name of a segment that was set aside instead of being removed."""
REMOVED_SUFFIX: Final = ".removed"
"""Ends the name of a segment on its way out; one that is found is finished off."""

_SEGMENT_NAME: Final = re.compile(r"(\d{20})\.log")
_HALF_MADE: Final = re.compile(rf"\.\d{{20}}\.log\.\d+\.[0-9a-f]+{re.escape(TEMPORARY_SUFFIX)}")
_HALF_REMOVED: Final = re.compile(rf"\d{{20}}\.log{re.escape(REMOVED_SUFFIX)}")
_OUR_OTHERS: Final = re.compile(rf"{LOCK_FILE}|\d{{20}}\.log{re.escape(DAMAGED_SUFFIX)}(\.\d+)?")


def segment_path(folder: Path, first: int) -> Path:
    """Where the segment whose first record has the sequence `first` lies."""
    return folder / f"{first:020d}.log"


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in a log folder.

    Attributes:
        segments: (first sequence by the name, path), ascending.
        half_made, half_removed: left by a process that died while it created or removed a segment.
        foreign: whatever is not ours; it is left alone.
    """

    segments: tuple[tuple[int, Path], ...]
    half_made: tuple[Path, ...]
    half_removed: tuple[Path, ...]
    foreign: tuple[Path, ...]


def list_folder(folder: Path) -> Listing:
    """Sort the folder's entries by what they are.

    Raises:
        OSError: the folder cannot be listed.
    """
    segments: list[tuple[int, Path]] = []
    others: dict[str, list[Path]] = {"half-made": [], "half-removed": [], "ours": [], "foreign": []}
    for name in sorted(os.listdir(folder)):  # noqa: PTH208 - names only, and of one moment
        path = folder / name
        if (match := _SEGMENT_NAME.fullmatch(name)) is not None and path.is_file():
            segments.append((int(match[1]), path))
        else:
            others[_kind_of(name)].append(path)
    return Listing(tuple(segments), *(tuple(others[kind]) for kind in ("half-made", "half-removed", "foreign")))


def _kind_of(name: str) -> str:
    patterns = {"half-made": _HALF_MADE, "half-removed": _HALF_REMOVED, "ours": _OUR_OTHERS}
    return next((kind for kind, pattern in patterns.items() if pattern.fullmatch(name)), "foreign")


def create_segment(folder: Path, header: SegmentHeader) -> Path:
    """Create the segment that begins with `header`, durably; it is never seen without its header.

    Raises:
        OSError: the disk refused, or the file exists.
    """
    path = segment_path(folder, header.first)
    if not publish(path, header.encode()):
        raise FileExistsError(errno.EEXIST, "a segment of this number exists already", str(path))
    return path


def read_header(descriptor: int) -> tuple[SegmentHeader | None, tuple[int, ...]]:
    """See `spanward.store._segment.decode_header`.

    Raises:
        StoreError: the segment was written by a newer version.
        OSError: the disk refused to read.
    """
    header, damaged = decode_header(os.pread(descriptor, HEADER_BYTES, 0))
    if header is not None and header.version > VERSION:
        raise StoreError(f"the intake log has format {header.version}, this version knows {VERSION}; upgrade spanward")
    return header, damaged


def segment_cipher(path: Path, header: SegmentHeader, unwrap: Callable[[bytes], bytes]) -> AESGCM:
    """The cipher of a segment's records.

    Raises:
        KeyringError: the segment was written under another keyring; the message names the file.
    """
    try:
        return AESGCM(unwrap(header.wrapped_key))
    except KeyringError as error:
        raise KeyringError(f"{path}: {error}") from error


def remove_segment(path: Path) -> None:
    """Remove a segment so that its key does not outlive it: both header copies are overwritten first.

    It is renamed before that, so that a crash half-way does not leave what looks like a damaged segment. The caller
    syncs the folder.

    Raises:
        OSError: the disk refused; the segment, or a leftover of it, is still there.
    """
    doomed = path.with_name(path.name + REMOVED_SUFFIX)
    try:
        path.rename(doomed)
    except FileNotFoundError:
        return
    _shred(doomed)


def finish_removals(listing: Listing) -> None:
    """Tidy up after a process that died. Only under the folder's lock.

    Raises:
        OSError: the disk refused.
    """
    for path in listing.half_made:
        path.unlink()  # never overwritten: it may be a second name of a segment that was made after all
    for path in listing.half_removed:
        _shred(path)


def _shred(path: Path) -> None:
    """Overwrite where a segment's header stands, with the key in it, and remove the file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        write_all(descriptor, os.urandom(min(HEADER_BYTES, os.fstat(descriptor).st_size)))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()


def set_aside(path: Path) -> Path:
    """Rename a damaged segment, so that it is out of the log and still there for whoever wants to look.

    Raises:
        OSError: the disk refused.
    """
    target = path.with_name(path.name + DAMAGED_SUFFIX)
    number = 0
    while target.exists():
        number += 1
        target = path.with_name(f"{path.name}{DAMAGED_SUFFIX}.{number}")
    path.rename(target)
    sync_folder(path.parent)
    return target
