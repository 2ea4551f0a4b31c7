"""New trace and span ids in requests that are sent again, at the price of a few bytes changed in place.

A server may recognise a repeated body, and should: a benchmark that sends the same bytes twice measures that. The ids'
positions are found once, by walking the protobuf fields; each further copy differs in all of its ids, and references
between spans (parents, links) still hold, for equal ids change equally.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

_STRIDE: Final = 0x9E37_79B9_7F4A_7C15
"""Odd, so that its multiples modulo 2**64 do not repeat; irregular, so that ids do not look alike."""

_MASK_BYTES: Final = 8
_LENGTH_DELIMITED: Final = 2

# path of field numbers from ExportTraceServiceRequest -> offset of the bytes to change within the id
_SPAN: Final[tuple[int, ...]] = (1, 2, 2)  # resource_spans, scope_spans, spans
_LINK: Final = (*_SPAN, 13)
_PARENTS: Final = {_SPAN[:depth] for depth in (1, 2, 3)} | {_LINK}
_IDS: Final[dict[tuple[int, ...], int]] = {
    (*_SPAN, 1): 8,  # trace_id: its second half
    (*_SPAN, 2): 0,  # span_id
    (*_SPAN, 4): 0,  # parent_span_id
    (*_LINK, 1): 8,
    (*_LINK, 2): 0,
}


class FreshRequest:
    """A request of which any number of copies with ids of their own can be made."""

    def __init__(self, body: bytes) -> None:
        """Find the ids in a serialized ExportTraceServiceRequest.

        Raises:
            ValueError: `body` is not one.
        """
        self._body = np.frombuffer(body, np.uint8)
        starts = np.fromiter(id_positions(body), np.int64)
        self._positions = starts[:, None] + np.arange(_MASK_BYTES)

    def copy(self, number: int) -> bytes:
        """The request with the ids of copy `number`; 0 is the original, and all below 2**64 differ."""
        mask = np.frombuffer((number * _STRIDE % 2**64).to_bytes(_MASK_BYTES, "little"), np.uint8)
        body = self._body.copy()
        body[self._positions] ^= mask
        return body.tobytes()


def id_positions(body: bytes) -> Iterator[int]:
    """Where the eight bytes lie that change in each trace, span, parent and link id."""
    return _walk(body, 0, len(body), ())


def _walk(body: bytes, position: int, end: int, path: tuple[int, ...]) -> Iterator[int]:
    while position < end:
        tag, position = _varint(body, position, end)
        here = (*path, tag >> 3)
        if tag & 7 != _LENGTH_DELIMITED:
            position = _skip(body, position, end, tag & 7)
            continue
        length, position = _varint(body, position, end)
        if position + length > end:
            raise ValueError(f"not an ExportTraceServiceRequest: a field of {length} bytes at {position} is cut off")
        if here in _PARENTS:
            yield from _walk(body, position, position + length, here)
        elif here in _IDS and length:
            yield position + _IDS[here]
        position += length


def _skip(body: bytes, position: int, end: int, wire_type: int) -> int:
    match wire_type:
        case 0:
            return _varint(body, position, end)[1]
        case 1:
            return position + 8
        case 5:
            return position + 4
        case _:
            raise ValueError(f"not an ExportTraceServiceRequest: wire type {wire_type} at {position}")


def _varint(body: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end:
        byte = body[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError(f"not an ExportTraceServiceRequest: a number at {position} is cut off")
