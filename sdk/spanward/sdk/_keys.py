"""The keys of keyed hashes, as an application gets them.

With the sidecar's own hash keys, a person's tokens are the same whether the application or the sidecar made them.
Without any, what would be hashed is masked: it is just as unreadable, and cannot be looked up.
"""

from __future__ import annotations

import importlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from spanward.processor.policy.keys import HashKey
from spanward.sdk._settings import SPANWARD_HASH_KEY_FILE, SPANWARD_KEYRING
from spanward.store.errors import ConfigurationError, StoreError

_KEYRING_FILE: Final = "keyring.json"
_LEAST_BYTES: Final = 16
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def load_hash_keys(
    hash_key_file: str | os.PathLike[str] | None = None,
    keyring: str | os.PathLike[str] | None = None,
) -> tuple[HashKey, ...]:
    """Hash keys, newest first: of a key file, else of a keyring, by argument or by variable; () when none is named.

    A key file is JSON, `{"hash_keys": [{"id": "k1", "secret": "<hex>"}, ...]}`, and holds nothing else, which makes it
    the thing to hand to an application. A keyring also has the keys of the lake.

    Raises:
        ConfigurationError: both are given, or the one named cannot be used.
    """
    if hash_key_file is not None and keyring is not None:
        raise ConfigurationError("hash_key_file and keyring both give hash keys; give one of them")
    file = hash_key_file or (None if keyring else os.environ.get(SPANWARD_HASH_KEY_FILE))
    if file:
        return _read_key_file(Path(file).expanduser())
    folder = keyring or os.environ.get(SPANWARD_KEYRING)
    return _read_keyring(Path(folder).expanduser()) if folder else ()


def _read_key_file(path: Path) -> tuple[HashKey, ...]:
    try:
        mode = path.stat().st_mode
        document: Any = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"hash key file {path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"hash key file {path} is not JSON: {error}") from error
    if mode & _OTHERS:
        raise ConfigurationError(f"hash key file {path} is readable by others; chmod 600 {path}")
    entries = document.get("hash_keys") if isinstance(document, Mapping) else None
    if not isinstance(entries, list) or not entries:
        raise ConfigurationError(
            f'hash key file {path} has no keys; write {{"hash_keys": [{{"id": ..., "secret": ...}}]}}'
        )
    return tuple(_read_key(path, entry) for entry in entries)


def _read_key(path: Path, entry: Any) -> HashKey:
    try:
        name, secret = str(entry["id"]), bytes.fromhex(entry["secret"])
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"hash key file {path}: a key is an id and a secret in hex") from error
    if len(secret) < _LEAST_BYTES:
        raise ConfigurationError(f"hash key file {path}: key {name} is shorter than {_LEAST_BYTES} bytes")
    return HashKey(name, secret)


def _read_keyring(path: Path) -> tuple[HashKey, ...]:
    folder = path.parent if path.name == _KEYRING_FILE else path
    try:
        module = importlib.import_module("spanward.store.keyring")
    except ImportError as error:
        raise ConfigurationError("a keyring needs the package cryptography: pip install 'spanward[lake]'") from error
    try:
        keys: tuple[HashKey, ...] = module.Keyring.open(folder, create=False).hash_keys()
    except StoreError as error:
        raise ConfigurationError(f"keyring {folder}: {error}") from error
    return keys
