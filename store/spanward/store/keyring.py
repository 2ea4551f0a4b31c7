"""The data folder's keys.

    keys/                      0700
        keyring.json           0600: master keys, hash keys, digest key (`_keyring_file`)
        data/<name>.key        0600: one data key each, wrapped under the newest master key (`_key_wrap`)

A lake partition (date, retention, classification) has its own data key. A key per (classification, date), as coarser
designs have it, could not be destroyed while one retention of that day is still kept; a key per partition makes
destroying it exactly the expiry of that partition. docs/adr/0002-intake-log.md records the decision.

A data key's file is the only copy: whoever destroys it makes every byte encrypted under it unreadable, wherever
copies of these bytes lie.
"""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import Final
from urllib.parse import quote

from spanward.processor.policy.keys import HashKey
from spanward.store._durable import OWNER_ONLY_FOLDER, make_folder, publish, sync_folder, write_all
from spanward.store._key_wrap import KEY_BYTES, unwrap_key, wrap_key
from spanward.store._keyring_file import Secrets, read_secrets
from spanward.store.errors import KeyringError

_FILE: Final = "keyring.json"
_DATA: Final = "data"
_SUFFIX: Final = ".key"
_MAX_NAME: Final = 200
_GENERAL_PURPOSE: Final = b"spanward wrapped key"
_DATA_PURPOSE: Final = b"spanward data key: "


class Keyring:
    """The keys of one data folder. Safe to use from several threads, and the folder by several processes."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self._folder = folder
        self._secrets = secrets
        self._lock = threading.Lock()
        self._cache: dict[str, bytes] = {}

    @classmethod
    def open(cls, folder: Path, *, create: bool = True) -> Keyring:
        """Read the keyring in `folder`, or make one.

        Of several processes that make one at the same time, all get the same.

        Args:
            folder: the keys folder of a data folder.
            create: make a keyring when there is none and nothing was ever encrypted under one.

        Raises:
            KeyringError: it is missing though data keys exist (or `create` is False), malformed, readable by others,
                or cannot be written.
        """
        path = folder / _FILE
        try:
            return cls(folder, read_secrets(path))
        except FileNotFoundError:
            _refuse_to_replace(path, create=create)
        try:
            make_folder(folder)
            folder.chmod(OWNER_ONLY_FOLDER)
            publish(path, Secrets.generate().to_json())  # losing the race is as good as winning it
            return cls(folder, read_secrets(path))
        except OSError as error:
            raise KeyringError(f"{path} cannot be made: {error.strerror}; make {folder} writable") from error

    def hash_keys(self) -> tuple[HashKey, ...]:
        """The keys that identifying values are hashed with, newest first; look-ups try all of them."""
        return self._secrets.hashes

    def digest_key(self) -> bytes:
        """The key of the digests by which repeated requests are recognised; 32 bytes."""
        return self._secrets.digest

    def data_key(self, name: str, *, create: bool) -> bytes:
        """The 32-byte key called `name`, such as `date=2026-11-21/retention=30d/classification=internal`.

        Args:
            name: any text but ""; upper and lower case differ.
            create: make the key when there is none.

        Raises:
            KeyringError: there is no such key and `create` is False, the keyring is not the one it was wrapped with,
                or the folder cannot be read or written.
        """
        path = self._path(name)
        with self._lock:
            try:
                return self._read(name, path) or self._create(name, path, create=create)
            except OSError as error:
                raise KeyringError(f"{path}: {error.strerror}; make {path.parent} readable and writable") from error

    def destroy(self, name: str) -> bool:
        """Crypto-shred: overwrite and remove the key called `name`, durably. What it encrypted is gone for good.

        Returns:
            True if there was such a key.

        Raises:
            KeyringError: the file could not be removed; the key may still be there.
        """
        path = self._path(name)
        with self._lock:
            self._cache.pop(name, None)
            try:
                overwrite(path)
                path.unlink()
                sync_folder(path.parent)
            except FileNotFoundError:
                return False
            except OSError as error:
                raise KeyringError(f"{path} cannot be destroyed: {error.strerror}; make it writable") from error
        return True

    def wrap(self, key: bytes) -> bytes:
        """Encrypt a key under the newest master key, for those who keep wrapped keys beside what they encrypt."""
        master_id, master = next(iter(self._secrets.masters.items()))
        return wrap_key(key, _GENERAL_PURPOSE, master_id=master_id, master_key=master)

    def unwrap(self, wrapped: bytes) -> bytes:
        """The inverse of `wrap`.

        Raises:
            KeyringError: this keyring did not wrap it, or it was altered.
        """
        return unwrap_key(wrapped, _GENERAL_PURPOSE, self._secrets.masters)

    def _path(self, name: str) -> Path:
        return self._folder / _DATA / (_file_stem(name) + _SUFFIX)

    def _read(self, name: str, path: Path) -> bytes | None:
        """The existing key; the file is looked for each time, since another process may have destroyed it."""
        try:
            wrapped = None if name in self._cache and path.exists() else path.read_bytes()
        except FileNotFoundError:
            self._cache.pop(name, None)
            return None
        if wrapped is not None:
            self._cache[name] = _unwrap_file(path, wrapped, name, self._secrets.masters)
        return self._cache[name]

    def _create(self, name: str, path: Path, *, create: bool) -> bytes:
        if not create:
            raise KeyringError(f"there is no data key {name!r} in {path.parent}: it was destroyed, or never made here")
        make_folder(path.parent)
        master_id, master = next(iter(self._secrets.masters.items()))
        purpose = _DATA_PURPOSE + name.encode()
        publish(path, wrap_key(os.urandom(KEY_BYTES), purpose, master_id=master_id, master_key=master))
        # read back in any case: another process may have made the key in between
        self._cache[name] = _unwrap_file(path, path.read_bytes(), name, self._secrets.masters)
        return self._cache[name]


def overwrite(path: Path) -> None:
    """Replace a file's bytes by random ones, durably, before it is removed.

    Raises:
        OSError: the disk refused.
    """
    descriptor = os.open(path, os.O_WRONLY)
    try:
        write_all(descriptor, os.urandom(os.fstat(descriptor).st_size))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_to_replace(path: Path, *, create: bool) -> None:
    """A new keyring beside old data would make that data unreadable for good."""
    if any((path.parent / _DATA).glob("*" + _SUFFIX)):
        raise KeyringError(f"{path} is missing, but data is encrypted under it; restore it from a backup")
    if not create:
        raise KeyringError(
            f"{path} is missing; restore it from a backup (only a folder without data is given a new one)",
        )


def _unwrap_file(path: Path, wrapped: bytes, name: str, masters: dict[str, bytes]) -> bytes:
    try:
        return unwrap_key(wrapped, _DATA_PURPOSE + name.encode(), masters)
    except KeyringError as error:
        raise KeyringError(f"{path}: {error}") from error


def _file_stem(name: str) -> str:
    """A file name for any key name, one to one: percent-encoded, or a digest when that would be too long."""
    if not name:
        raise KeyringError("a data key needs a name")
    encoded = quote(name, safe="=")
    return encoded if len(encoded) <= _MAX_NAME else "%sha256-" + hashlib.sha256(name.encode()).hexdigest()
