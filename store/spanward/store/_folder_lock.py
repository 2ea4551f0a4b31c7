"""One writer a folder, also across processes."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

from spanward.store._durable import OWNER_ONLY_FILE
from spanward.store.errors import LockedError

LOCK_FILE: Final = "lock"


class FolderLock:
    """An exclusive flock on `folder/lock`, which the kernel lets go when the process dies. The file stays."""

    def __init__(self, folder: Path) -> None:
        """Take the lock.

        Raises:
            LockedError: another process (or another object of this one) has it; the message names it.
            OSError: the file cannot be opened.
        """
        path = folder / LOCK_FILE
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY_FILE)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise LockedError(f"{folder} is in use by process {holder}; stop it, or use another folder") from error
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
