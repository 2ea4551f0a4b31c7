"""Small files that are there whole or not at all, also after a power cut."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Final

TEMPORARY_SUFFIX: Final = ".tmp"
"""Ends the name of a file that is being written; one that is found was left by a process that died."""

OWNER_ONLY_FILE: Final = 0o600
OWNER_ONLY_FOLDER: Final = 0o700


def make_folder(folder: Path) -> None:
    """Make the folder, and those above it, readable by the owner alone; one that exists stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=OWNER_ONLY_FOLDER, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable: a new, renamed or removed file survives a power cut only after this.

    Raises:
        OSError: the disk refused.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, content: bytes | memoryview) -> None:
    """Write every byte at the descriptor's position; the kernel may take less than it is given.

    Raises:
        OSError: the disk refused; some bytes may have been written.
    """
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def publish(path: Path, content: bytes) -> bool:
    """Create a durable file that nobody ever sees half-written, and never overwrite one.

    Returns:
        False when `path` exists already (another process was faster); it is left as it is.

    Raises:
        OSError: the disk refused; nothing stands at `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        _write_new(temporary, content)
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        with suppress(OSError):
            temporary.unlink()
    try:
        sync_folder(path.parent)
    except OSError:
        with suppress(OSError):
            path.unlink()  # ours, and not known to be durable
        raise
    return True


def overwrite(path: Path, content: bytes) -> None:
    """Put a durable file in the place of whatever stands at `path`; a reader sees the old content or the new.

    For one writer at a time: what a crash leaves half-written has one name, and the next call takes it away.

    Raises:
        OSError: the disk refused; the old content stands.
    """
    temporary = path.with_name(f".{path.name}{TEMPORARY_SUFFIX}")
    temporary.unlink(missing_ok=True)
    _write_new(temporary, content)
    temporary.replace(path)
    sync_folder(path.parent)


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY_FILE)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
