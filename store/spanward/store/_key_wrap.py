"""Keys at rest: AES-256-GCM under a master key.

    version 1 byte | length of the master key's id 1 byte | its id | nonce 12 bytes | ciphertext and tag

What a key is for is associated data: a wrapped key that is moved to another place does not unwrap there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanward.store.errors import KeyringError

KEY_BYTES: Final = 32
_VERSION: Final = 1
_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_MAX_ID_BYTES: Final = 32


def wrap_key(key: bytes, purpose: bytes, *, master_id: str, master_key: bytes) -> bytes:
    """Encrypt `key` for `purpose` under a master key; the result names that master key."""
    name = master_id.encode()
    nonce = os.urandom(_NONCE_BYTES)
    return bytes((_VERSION, len(name))) + name + nonce + AESGCM(master_key).encrypt(nonce, key, purpose)


def unwrap_key(wrapped: bytes, purpose: bytes, masters: Mapping[str, bytes]) -> bytes:
    """The inverse of `wrap_key`.

    Raises:
        KeyringError: the master key is not among `masters`, is another one of that name, or `wrapped` was altered or
            made for another purpose.
    """
    master_id, body = _split(wrapped)
    master = masters.get(master_id)
    if master is None:
        raise KeyringError(f"a key is wrapped under master key {master_id!r}, which this keyring lacks; restore it")
    nonce, ciphertext = body[:_NONCE_BYTES], body[_NONCE_BYTES:]
    try:
        return AESGCM(master).decrypt(nonce, ciphertext, purpose)
    except InvalidTag as error:
        raise KeyringError(
            f"a key wrapped under master key {master_id!r} does not unwrap: it was altered, or this is the keyring of "
            "other data; restore the keyring that belongs here",
        ) from error


def _split(wrapped: bytes) -> tuple[str, bytes]:
    if len(wrapped) < 2 or wrapped[0] != _VERSION:  # noqa: PLR2004 - version and length
        raise KeyringError("a wrapped key has a form that this version does not know; upgrade, or restore the file")
    end = 2 + wrapped[1]
    body = wrapped[end:]
    if wrapped[1] > _MAX_ID_BYTES or len(body) < _NONCE_BYTES + _TAG_BYTES:
        raise KeyringError("a wrapped key is cut short; restore the file")
    return wrapped[2:end].decode("utf-8", "replace"), body
