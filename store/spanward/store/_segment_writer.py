"""The one segment that is being written."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanward.store._durable import write_all
from spanward.store._segment import HEADER_BYTES, seal


class SegmentWriter:
    """Appends records to a segment, each with one write and one fsync.

    Attributes:
        path: the file.
        size: bytes up to the end of the last record that is safe; what the file may have beyond is void.
        records: how many were appended through this object.
    """

    def __init__(self, path: Path, cipher: AESGCM, *, size: int = HEADER_BYTES) -> None:
        """Open the segment for appending at `size`; what lies behind it is cut off.

        Raises:
            OSError: the file cannot be opened or cut.
        """
        self.path = path
        self.size = size
        self.records = 0
        self._cipher = cipher
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            self._cut()
        except OSError:
            self.close()
            raise

    def append(self, sequence: int, payload: bytes) -> int:
        """Append one record and wait until it is safe.

        Returns:
            The bytes it takes.

        Raises:
            OSError: the disk refused. Do not append again: after a failed fsync the kernel may have dropped the
                bytes and say yes the next time. `abandon` it and begin another segment.
        """
        record = seal(self._cipher, sequence, payload)
        write_all(self._descriptor, record)
        os.fsync(self._descriptor)
        self.size += len(record)
        self.records += 1
        return len(record)

    def abandon(self) -> None:
        """Cut off what was not safe, as far as the disk lets us, and close."""
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            pass  # the next segment's header says where this one ends: what is left here is void anyhow
        finally:
            self.close()

    def close(self) -> None:
        """Close the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _cut(self) -> None:
        if os.fstat(self._descriptor).st_size > self.size:
            os.ftruncate(self._descriptor, self.size)
            os.fsync(self._descriptor)
        os.lseek(self._descriptor, self.size, os.SEEK_SET)
