"""Parquet Modular Encryption under the keyring: one master key a partition, named like the partition.

Every encrypted column of every file has a random key of its own, wrapped by AES-256-GCM under the partition's data key
and kept in the file. Destroying that one data key makes the partition's payload unreadable wherever copies lie.
"""

from __future__ import annotations

import atexit
import base64
import os
import time
import weakref
from typing import Any, Final

import pyarrow.dataset as ds
import pyarrow.parquet.encryption as pe
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanward.store.errors import KeyringError
from spanward.store.keyring import Keyring

_NONCE_BYTES: Final = 12
_KEY_BITS: Final = 256
_QUIET_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.001


class _ColumnKeys:
    """The column keys that the readers of one dataset have unwrapped, for Arrow asks for each several times a file.

    It lives as long as somebody reads the dataset, Arrow's own threads included, and no longer: a key that is destroyed
    must not live on in memory.
    """

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._unwrapped: dict[tuple[str, bytes], bytes] = {}
        self.asked_at = 0.0

    def client(self, _connection: Any) -> _PartitionKms:
        """What Arrow asks for keys."""
        return _PartitionKms(self._keyring, self)

    def unwrap(self, wrapped_key: bytes, name: str) -> bytes:
        """A column key, from the keyring the first time."""
        self.asked_at = time.monotonic()
        known = self._unwrapped.get((name, wrapped_key))
        if known is None:
            known = self._unwrapped[name, wrapped_key] = _unwrap_column_key(self._keyring, wrapped_key, name)
        return known


class _PartitionKms(pe.KmsClient):  # type: ignore[misc]  # pyarrow ships no types
    """Wraps column keys under the keyring's data keys; called by Arrow's threads.

    pyarrow (26) never lets go of one, so that it must not own what it has unwrapped.
    """

    def __init__(self, keyring: Keyring, keys: _ColumnKeys) -> None:
        super().__init__()
        self._keyring = keyring
        self._keys = weakref.ref(keys)

    def wrap_key(self, key_bytes: bytes, master_key_identifier: str) -> bytes:
        master = AESGCM(self._keyring.data_key(master_key_identifier, create=True))
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + master.encrypt(nonce, key_bytes, master_key_identifier.encode()))

    def unwrap_key(self, wrapped_key: bytes, master_key_identifier: str) -> bytes:
        keys = self._keys()
        if keys is None:
            return _unwrap_column_key(self._keyring, wrapped_key, master_key_identifier)
        return keys.unwrap(wrapped_key, master_key_identifier)


def _unwrap_column_key(keyring: Keyring, wrapped_key: bytes, name: str) -> bytes:
    """A column key that was wrapped under the data key of a partition.

    Raises:
        KeyringError: that data key is missing, destroyed or another one.
    """
    master = AESGCM(keyring.data_key(name, create=False))
    sealed = base64.b64decode(wrapped_key)
    try:
        return master.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
    except InvalidTag as error:
        raise KeyringError(
            f"a file of partition {name} is encrypted under a key that was destroyed or replaced",
        ) from error


class PartitionCipher:
    """Encrypts and decrypts files; thread-safe."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._connection = pe.KmsConnectionConfig()
        self._writing = pe.CryptoFactory(_ColumnKeys(keyring).client)

    def encryption(self, partition: str, columns: tuple[str, ...]) -> Any:
        """How to write a file of a partition.

        Args:
            partition: its name, which names its data key; the key is made when there is none.
            columns: which columns are encrypted; the footer and the other columns stay readable without a key.

        Raises:
            KeyringError: the data key cannot be made.
        """
        configuration = pe.EncryptionConfiguration(
            footer_key=partition,
            column_keys={partition: list(columns)},
            plaintext_footer=True,
            double_wrapping=False,
            data_key_length_bits=_KEY_BITS,
        )
        return self._writing.file_encryption_properties(self._connection, configuration)

    def file_format(self) -> ds.ParquetFileFormat:
        """How the files of one dataset are read, encrypted or not.

        Arrow's threads call Python for the keys: whoever scans must not hold Python's lock meanwhile (`_scannable`).
        """
        keys = _ColumnKeys(self._keyring)
        _being_read.add(keys)
        factory = pe.CryptoFactory(keys.client)
        decryption = ds.ParquetDecryptionConfig(factory, self._connection, pe.DecryptionConfiguration())
        return ds.ParquetFileFormat(
            default_fragment_scan_options=ds.ParquetFragmentScanOptions(decryption_config=decryption, pre_buffer=True),
        )


_being_read: Final[weakref.WeakSet[_ColumnKeys]] = weakref.WeakSet()


def scan_left_early() -> None:
    """Say that a scan ended before its rows did: the process will not end before Arrow's threads let go of the files.

    They go on for a moment, opening the files that come next and asking Python for their keys. A thread that asks while
    the interpreter is torn down is ended by it, and Arrow, which waits for its threads when a process ends, waits for
    that one for ever.
    """
    atexit.unregister(_wait_for_readers)
    atexit.register(_wait_for_readers)


def _wait_for_readers() -> None:
    """Until nothing reads, or no key was asked for during a second: somebody may hold a dataset to the very end."""
    begun = time.monotonic()
    while (asked_at := max((keys.asked_at for keys in _being_read), default=None)) is not None:
        if time.monotonic() - max(asked_at, begun) > _QUIET_SECONDS:
            return
        time.sleep(_POLL_SECONDS)
