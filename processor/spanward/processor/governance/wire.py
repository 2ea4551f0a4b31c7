"""The protobuf wire format, as far as it takes to save what a strict parser refuses.

A parser refuses a whole message for one string that is not UTF-8, or for one value that is nested too deeply. Here a
message is taken apart by its lengths alone, and its strings are repaired: each invalid sequence becomes U+FFFD.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor

_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH: Final = 2
_FIXED32: Final = 5
_MAX_VARINT_BYTES: Final = 10
_MAX_DEPTH: Final = 100


class MalformedError(ValueError):
    """The bytes are not a protobuf message; the text says where and why."""


class Field(NamedTuple):
    """One field on the wire: the tag is at `tag`, the value (without its length) is `start`..`end`."""

    number: int
    wire_type: int
    tag: int
    start: int
    end: int


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message in their order.

    Raises:
        MalformedError: a field does not end where it must.
    """
    position = 0
    size = len(data)
    while position < size:
        tag = position
        key, position = _varint(data, position)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise MalformedError(f"field number 0 at byte {tag}")
        start, end = _extent(data, position, wire_type, tag)
        if end > size:
            raise MalformedError(f"the field at byte {tag} ends {end - size} bytes past the end")
        yield Field(number, wire_type, tag, start, end)
        position = end


def _extent(data: bytes, position: int, wire_type: int, tag: int) -> tuple[int, int]:
    """Where a value starts and ends, given where its tag ends."""
    if wire_type == _LENGTH:
        length, start = _varint(data, position)
        return start, start + length
    if wire_type == _VARINT:
        return position, _varint(data, position)[1]
    if wire_type == _FIXED64:
        return position, position + 8
    if wire_type == _FIXED32:
        return position, position + 4
    raise MalformedError(f"wire type {wire_type} at byte {tag}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(data[position : position + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            return value, position + index + 1
    raise MalformedError(f"a number that does not end at byte {position}")


def encode_varint(value: int) -> bytes:
    """A number of 0 or more in the wire's base-128 form."""
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def split(data: bytes, number: int) -> tuple[bytes, list[bytes]]:
    """Take the submessages with this field number out of a message.

    Returns:
        The message without them, and them.

    Raises:
        MalformedError: the message cannot be taken apart.
    """
    rest: list[bytes] = []
    parts: list[bytes] = []
    for found in fields(data):
        if found.number == number and found.wire_type == _LENGTH:
            parts.append(data[found.start : found.end])
        else:
            rest.append(data[found.tag : found.end])
    return b"".join(rest), parts


def repair(data: bytes, descriptor: Descriptor) -> bytes:
    """The message with every string made valid UTF-8 and every length corrected; unknown fields stay as they are.

    Raises:
        MalformedError: the message cannot be taken apart, or nests deeper than a parser goes.
    """
    return _repair(data, _shape(descriptor), _MAX_DEPTH)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What of a message type matters here: its string fields and its message fields, by number."""

    strings: frozenset[int]
    messages: dict[int, Descriptor]


@cache
def _shape(descriptor: Descriptor) -> _Shape:
    return _Shape(
        strings=frozenset(f.number for f in descriptor.fields if f.type == FieldDescriptor.TYPE_STRING),
        messages={f.number: f.message_type for f in descriptor.fields if f.message_type is not None},
    )


def _repair(data: bytes, shape: _Shape, room: int) -> bytes:
    if room == 0:
        raise MalformedError(f"messages are nested deeper than {_MAX_DEPTH} levels")
    pieces: list[bytes] = []
    copied = 0
    for found in fields(data):
        if found.wire_type != _LENGTH:
            continue
        value = data[found.start : found.end]
        if found.number in shape.strings:
            fixed = value.decode("utf-8", "replace").encode()
        elif (inner := shape.messages.get(found.number)) is not None:
            fixed = _repair(value, _shape(inner), room - 1)
        else:
            continue
        if fixed != value:
            tag = encode_varint(found.number << 3 | _LENGTH)
            pieces += (data[copied : found.tag], tag, encode_varint(len(fixed)), fixed)
            copied = found.end
    return b"".join((*pieces, data[copied:])) if pieces else data
