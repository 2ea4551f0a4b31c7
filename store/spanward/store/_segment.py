"""The bytes of a segment file, and nothing but bytes. docs/log-format.md draws them.

A segment is a header, kept twice, and then records one behind the other. All numbers are big-endian. A record can be
found and checked without its neighbours: it starts with a marker, its header has a checksum of its own, and the whole
has another; the payload is AES-256-GCM with the record's header as associated data.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VERSION: Final = 1

_SEGMENT_MAGIC: Final = b"SPWLOG\r\n"  # the line end shows a transfer that translated text
_SEGMENT: Final = struct.Struct(">8sHHQQqH")
_CHECKSUM: Final = struct.Struct(">I")
_HEADER_BLOCK: Final = 256
HEADER_COPY: Final = 4096
"""Where the second copy of the header stands: in another disk sector than the first."""
HEADER_BYTES: Final = HEADER_COPY + _HEADER_BLOCK
"""Where the records begin."""

MARKER: Final = b"\xa9\x1espRec\xf7"
_RECORD: Final = struct.Struct(">8sBxxxIQ12s")
RECORD_HEADER_BYTES: Final = _RECORD.size + _CHECKSUM.size
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
RECORD_OVERHEAD: Final = RECORD_HEADER_BYTES + TAG_BYTES + _CHECKSUM.size
"""Bytes that a record takes beyond its payload; also the shortest record there is."""
MAX_PAYLOAD_BYTES: Final = 512 << 20
"""A record's bound: what is read back in one piece must fit in memory, and a damaged length must not look plausible."""


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself.

    Attributes:
        first: the sequence that its first record has, or will have.
        after: the last sequence that was acknowledged when the segment was begun. Records of earlier segments with
            higher sequences were refused to their callers and are void. `after + 1 < first` when numbers were burned.
        created_ns: Unix time.
        wrapped_key: the segment's data key, wrapped by the keyring.
        version: of the format.
    """

    first: int
    after: int
    created_ns: int
    wrapped_key: bytes = field(repr=False)
    version: int = VERSION

    def encode(self) -> bytes:
        """The first HEADER_BYTES of the file: two copies of the header, zeros between them."""
        fixed = _SEGMENT.pack(
            _SEGMENT_MAGIC, self.version, 0, self.first, self.after, self.created_ns, len(self.wrapped_key)
        )
        block = (fixed + self.wrapped_key).ljust(_HEADER_BLOCK - _CHECKSUM.size, b"\0")
        block += _CHECKSUM.pack(zlib.crc32(block))
        return block.ljust(HEADER_COPY, b"\0") + block


def decode_header(content: bytes) -> tuple[SegmentHeader | None, tuple[int, ...]]:
    """Read a segment's header from the file's first HEADER_BYTES.

    Returns:
        The header, None when neither copy is whole; and the offsets of the copies that are damaged.
    """
    copies = {offset: _decode_block(content[offset : offset + _HEADER_BLOCK]) for offset in (0, HEADER_COPY)}
    header = next((copy for copy in copies.values() if copy is not None), None)
    return header, tuple(offset for offset, copy in copies.items() if copy is None)


HEADER_BLOCK_BYTES: Final = _HEADER_BLOCK


def _decode_block(block: bytes) -> SegmentHeader | None:
    if len(block) < _HEADER_BLOCK or not block.startswith(_SEGMENT_MAGIC):
        return None
    body = block[: -_CHECKSUM.size]
    if _CHECKSUM.unpack(block[-_CHECKSUM.size :])[0] != zlib.crc32(body):
        return None
    _, version, _, first, after, created_ns, key_length = _SEGMENT.unpack_from(body)
    wrapped_key = body[_SEGMENT.size : _SEGMENT.size + key_length]
    return SegmentHeader(first, after, created_ns, wrapped_key, version)


@dataclass(frozen=True, slots=True)
class RecordHeader:
    """What stands before a record's payload.

    Attributes:
        sequence: the record's number.
        length: bytes of the ciphertext with its tag.
        raw: the header's bytes without their checksum: the associated data.
    """

    sequence: int
    length: int
    raw: bytes

    @property
    def size(self) -> int:
        """Bytes of the whole record."""
        return RECORD_HEADER_BYTES + self.length + _CHECKSUM.size


def seal(cipher: AESGCM, sequence: int, payload: bytes) -> bytes:
    """The bytes of a record.

    The nonce is random: a number that was refused and a folder that was restored from a copy may both bring the same
    sequence under the same key again, and a nonce must not come twice.
    """
    length = len(payload) + TAG_BYTES
    nonce = os.urandom(NONCE_BYTES)
    raw = _RECORD.pack(MARKER, 0, length, sequence, nonce)
    head = raw + _CHECKSUM.pack(zlib.crc32(raw))
    ciphertext = cipher.encrypt(nonce, payload, raw)
    return b"".join((head, ciphertext, _CHECKSUM.pack(zlib.crc32(ciphertext, zlib.crc32(head)))))


def decode_record_header(content: bytes) -> RecordHeader | None:
    """The record header at the start of `content`; None when there is no whole one."""
    if len(content) < RECORD_HEADER_BYTES or not content.startswith(MARKER):
        return None
    raw = content[: _RECORD.size]
    if _CHECKSUM.unpack_from(content, _RECORD.size)[0] != zlib.crc32(raw):
        return None
    _, flags, length, sequence, _ = _RECORD.unpack(raw)
    # no flag has a meaning yet; one that is set comes from a version that would have raised the format's number
    if flags or not TAG_BYTES <= length <= MAX_PAYLOAD_BYTES + TAG_BYTES:
        return None
    return RecordHeader(sequence, length, raw)


def checks_out(content: bytes) -> bool:
    """Whether a record's bytes, header to checksum, are the bytes that were written."""
    body = memoryview(content)[: -_CHECKSUM.size]
    return bool(_CHECKSUM.unpack(content[-_CHECKSUM.size :])[0] == zlib.crc32(body))


def unseal(cipher: AESGCM, header: RecordHeader, content: bytes) -> bytes | None:
    """The payload of a record that checks out; None when it was not written under this key."""
    ciphertext = memoryview(content)[RECORD_HEADER_BYTES : RECORD_HEADER_BYTES + header.length]
    try:
        return cipher.decrypt(header.raw[-NONCE_BYTES:], ciphertext, header.raw)
    except InvalidTag:
        return None
