"""keyring.json: the secrets that everything else is wrapped or hashed with.

    {"format": 1,
     "master_keys": [{"id": "m1", "key": "<base64, 32 bytes>"}],
     "hash_keys":   [{"id": "k1", "key": "<base64, 32 bytes>"}],
     "digest_key": "<base64, 32 bytes>"}

Lists are newest first: the first one is used for what is new, all of them for what exists.
"""

from __future__ import annotations

import base64
import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from spanward.processor.policy.keys import HashKey
from spanward.store._key_wrap import KEY_BYTES
from spanward.store.errors import KeyringError

_FORMAT: Final = 1
_OTHERS: Final = 0o077
_OTHERS_WRITE: Final = 0o022
_MAX_ID_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the file holds.

    Attributes:
        masters: master keys by id, newest first; never empty.
        hashes: hash keys, newest first; never empty.
        digest: key of the digests by which repeated requests are recognised.
    """

    masters: dict[str, bytes] = field(repr=False)
    hashes: tuple[HashKey, ...] = field(repr=False)
    digest: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> Secrets:
        """New random keys."""
        return cls({"m1": os.urandom(KEY_BYTES)}, (HashKey("k1", os.urandom(KEY_BYTES)),), os.urandom(KEY_BYTES))

    def to_json(self) -> bytes:
        """The file's content."""
        document = {
            "format": _FORMAT,
            "master_keys": [{"id": name, "key": _encode(key)} for name, key in self.masters.items()],
            "hash_keys": [{"id": key.id, "key": _encode(key.secret)} for key in self.hashes],
            "digest_key": _encode(self.digest),
        }
        return json.dumps(document, indent=1).encode() + b"\n"


def read_secrets(path: Path) -> Secrets:
    """Read the file after making sure that nobody else can.

    Raises:
        FileNotFoundError: there is none.
        KeyringError: it cannot be read, others can read it, or it is malformed.
    """
    try:
        _require_private(path)
        content = path.read_bytes()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise KeyringError(f"{path} cannot be read: {error.strerror}; run spanward as the user who owns it") from error
    try:
        return _parse(json.loads(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        # the reason is not shown: it may quote a secret
        raise KeyringError(f"{path} is not a keyring of format {_FORMAT}; restore it from a backup") from error


def _require_private(path: Path) -> None:
    if path.stat().st_mode & _OTHERS:
        raise KeyringError(f"{path} can be read by others; run: chmod 600 {path}")
    if path.parent.stat().st_mode & _OTHERS_WRITE:
        raise KeyringError(f"{path.parent} can be changed by others; run: chmod 700 {path.parent}")
    if not stat.S_ISREG(path.stat().st_mode):
        raise KeyringError(f"{path} is not a file; restore the keyring from a backup")


def _parse(document: dict[str, Any]) -> Secrets:
    if document["format"] != _FORMAT:
        raise ValueError("unknown format")
    masters = dict(map(_named, document["master_keys"]))
    hashes = tuple(HashKey(*_named(entry)) for entry in document["hash_keys"])
    if not masters or not hashes:
        raise ValueError("no keys")
    return Secrets(masters, hashes, _decode(document["digest_key"]))


def _named(entry: dict[str, Any]) -> tuple[str, bytes]:
    name = entry["id"]
    if not isinstance(name, str) or not name.isascii() or not name.isalnum() or len(name) > _MAX_ID_CHARACTERS:
        raise ValueError("bad id")
    return name, _decode(entry["key"])


def _encode(key: bytes) -> str:
    return base64.b64encode(key).decode()


def _decode(text: str) -> bytes:
    key = base64.b64decode(text, validate=True)
    if len(key) != KEY_BYTES:
        raise ValueError("wrong length")
    return key
