"""Walking through a segment file: good records, and the holes between them.

Nothing is assumed of the file but its length when the walk began: it may be damaged anywhere, and its writer may be
adding to it or cutting it back meanwhile. (Memory maps are not used for that reason: a file that shrinks under one
kills the process.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanward.store._segment import (
    HEADER_BYTES,
    MARKER,
    RECORD_HEADER_BYTES,
    RecordHeader,
    checks_out,
    decode_record_header,
    unseal,
)

_WINDOW: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """A good record.

    Attributes:
        offset, end: where it stands.
        sequence: its number.
        payload: decrypted; "" when the walk had no cipher.
    """

    offset: int
    end: int
    sequence: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes that are no record.

    Attributes:
        offset, end: where they stand.
        torn: True when this is the beginning of a record that the file ends in: a write that never finished.
    """

    offset: int
    end: int
    torn: bool = False


def walk(descriptor: int, cipher: AESGCM | None, *, start: int = HEADER_BYTES) -> Iterator[Frame | Hole]:
    """Everything from `start` to the file's present end, in order and without a gap.

    Args:
        descriptor: the segment, open for reading; its position is not used.
        cipher: under the segment's key. Without one, records are found by their checksums alone.
        start: offset to begin at.

    Raises:
        OSError: the disk refused to read.
    """
    end = os.fstat(descriptor).st_size
    offset = start
    while offset < end:
        frame = _frame_at(descriptor, cipher, offset, end)
        if frame is not None:
            yield frame
            offset = frame.end
            continue
        following = _find_frame(descriptor, cipher, offset + 1, end)
        torn = following is None and _is_torn(descriptor, offset, end)
        yield Hole(offset, end if following is None else following, torn)
        offset = end if following is None else following


def _frame_at(descriptor: int, cipher: AESGCM | None, offset: int, end: int) -> Frame | None:
    header = _header_at(descriptor, offset)
    if header is None or offset + header.size > end:
        return None
    content = os.pread(descriptor, header.size, offset)
    if len(content) < header.size or not checks_out(content):
        return None
    payload = b"" if cipher is None else unseal(cipher, header, content)
    return None if payload is None else Frame(offset, offset + header.size, header.sequence, payload)


def _header_at(descriptor: int, offset: int) -> RecordHeader | None:
    return decode_record_header(os.pread(descriptor, RECORD_HEADER_BYTES, offset))


def _find_frame(descriptor: int, cipher: AESGCM | None, start: int, end: int) -> int | None:
    """Offset of the next good record at or behind `start`."""
    offset = start
    while offset < end:
        window = os.pread(descriptor, min(_WINDOW, end - offset), offset)
        found = window.find(MARKER)
        while found >= 0:
            if _frame_at(descriptor, cipher, offset + found, end) is not None:
                return offset + found
            found = window.find(MARKER, found + 1)
        # windows overlap by a marker less one byte, so that none hides on their border
        offset += max(1, len(window) - len(MARKER) + 1)
    return None


def _is_torn(descriptor: int, offset: int, end: int) -> bool:
    """Whether the bytes from `offset` to the end are a proper beginning of a record."""
    head = os.pread(descriptor, min(RECORD_HEADER_BYTES, end - offset), offset)
    if len(head) < RECORD_HEADER_BYTES:
        return head[: len(MARKER)] == MARKER[: len(head)]
    header = decode_record_header(head)
    return header is not None and offset + header.size > end
