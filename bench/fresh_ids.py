"""New ids and times in requests that are sent again, at the price of a few bytes changed in place.

A server may recognise a repeated body, and should: a benchmark that sends the same bytes twice measures that. The
positions are found once, by walking the protobuf fields; each further copy differs in all of its ids, and references
between spans (parents, links) still hold, for equal ids change equally. What changes of an id is its beginning: in a
table that is sorted by id, copies of a span must not become neighbours, which would compress as no real spans do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

_STRIDE: Final = 0x9E37_79B9_7F4A_7C15
"""Odd, so that its multiples modulo 2**64 do not repeat; irregular, so that ids do not look alike."""

_BYTES: Final = 8
_LENGTH_DELIMITED: Final = 2
_FIXED64: Final = 1

# paths of field numbers from ExportTraceServiceRequest
_SPAN: Final[tuple[int, ...]] = (1, 2, 2)  # resource_spans, scope_spans, spans
_EVENT: Final = (*_SPAN, 11)
_LINK: Final = (*_SPAN, 13)
_PARENTS: Final = {_SPAN[:depth] for depth in (1, 2, 3)} | {_EVENT, _LINK}
_IDS: Final = {(*_SPAN, 1), (*_SPAN, 2), (*_SPAN, 4), (*_LINK, 1), (*_LINK, 2)}
_TIMES: Final = {(*_SPAN, 7), (*_SPAN, 8), (*_EVENT, 1)}


class FreshRequest:
    """A request of which any number of copies with ids and times of their own can be made."""

    def __init__(self, body: bytes, *, apart_ns: int = 0) -> None:
        """Find ids and times in a serialized ExportTraceServiceRequest.

        Args:
            body: the request.
            apart_ns: how much later each copy's spans are than those of the copy before.

        Raises:
            ValueError: `body` is not one.
        """
        self._body = np.frombuffer(body, np.uint8)
        self._apart_ns = apart_ns
        found = list(_walk(body, 0, len(body), ()))
        self._ids = _places([position for position, path in found if path in _IDS])
        self._times = _places([position for position, path in found if path in _TIMES])

    def copy(self, number: int) -> bytes:
        """The request with ids and times of copy `number`; 0 is the original, and ids of all below 2**64 differ."""
        body = self._body.copy()
        body[self._ids] ^= np.frombuffer((number * _STRIDE % 2**64).to_bytes(_BYTES, "little"), np.uint8)
        body[self._times] = (body[self._times].view("<u8") + np.uint64(number * self._apart_ns)).view(np.uint8)
        return body.tobytes()


def _places(positions: list[int]) -> npt.NDArray[np.int64]:
    """The eight bytes from each position on, one row a position."""
    return np.array(positions, np.int64)[:, None] + np.arange(_BYTES)


def _walk(body: bytes, position: int, end: int, path: tuple[int, ...]) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Where ids and times begin, with the path of their field."""
    while position < end:
        tag, position = _varint(body, position, end)
        here = (*path, tag >> 3)
        if tag & 7 != _LENGTH_DELIMITED:
            if tag & 7 == _FIXED64 and here in _TIMES:
                yield position, here
            position = _skip(body, position, end, tag & 7)
            continue
        length, position = _varint(body, position, end)
        if position + length > end:
            raise ValueError(f"not an ExportTraceServiceRequest: a field of {length} bytes at {position} is cut off")
        if here in _PARENTS:
            yield from _walk(body, position, position + length, here)
        elif here in _IDS and length:
            yield position, here
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
