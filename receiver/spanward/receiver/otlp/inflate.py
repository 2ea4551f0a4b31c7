"""gzip with a bound: a small body must not become a large one in memory."""

from __future__ import annotations

import zlib
from typing import Final

_GZIP: Final = 31  # window bits: gzip framing, any window
_MAX_MEMBERS: Final = 16  # each costs a copy of the rest; real clients send one


class BadGzipError(Exception):
    """The bytes are not complete gzip data."""


class TooLargeError(Exception):
    """The data is larger than the bound."""


def gunzip(data: bytes, limit: int) -> bytes:
    """Decompress, holding no more than `limit` + 1 bytes of output.

    Raises:
        BadGzipError: the data is damaged, truncated, or followed by something else.
        TooLargeError: there are more than `limit` bytes.
    """
    pieces: list[bytes] = []
    room = limit + 1
    for _ in range(_MAX_MEMBERS):
        piece, data = _member(data, room)
        pieces.append(piece)
        room -= len(piece)
        if room <= 0:
            raise TooLargeError(f"more than {limit} bytes after decompression")
        if not data:
            return b"".join(pieces)
    raise BadGzipError(f"more than {_MAX_MEMBERS} gzip members")


def _member(data: bytes, room: int) -> tuple[bytes, bytes]:
    """One gzip member, cut off after `room` bytes, and what follows it."""
    inflater = zlib.decompressobj(_GZIP)
    try:
        piece = inflater.decompress(data, room)
    except zlib.error as error:
        raise BadGzipError("the data is damaged or not gzip") from error
    if not inflater.eof and len(piece) < room:
        raise BadGzipError("the data is truncated")
    return piece, inflater.unused_data
