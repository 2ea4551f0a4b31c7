"""Opening a data folder: its identity, its lock, its keys, its tables."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from spanward.store._encryption import PartitionCipher
from spanward.store._folder_lock import FolderLock
from spanward.store._intents import Intents
from spanward.store._tables import DERIVED_TABLES, SPANS_TABLE, TableSpec
from spanward.store.delta import LakeTable
from spanward.store.errors import StoreError
from spanward.store.keyring import Keyring
from spanward.store.layout import (
    INTAKE,
    INTENTS,
    KEYS,
    LAKE,
    has_table,
    holds_data,
    make_private_folder,
    open_layout,
    table_folder,
)


class Mode(Enum):
    """What a process opens a data folder for."""

    WRITE = auto()
    """Append and everything else; one process at a time."""
    MAINTAIN = auto()
    """Remove what has expired, beside the process that appends."""
    READ = auto()
    """Change nothing."""


@dataclass(frozen=True, slots=True)
class OpenedFolder:
    """A data folder that is as it must be.

    Attributes:
        data: the folder, absolute.
        app_id: its identity.
        keyring: its keys.
        tables: its tables by name.
        lock: held in mode WRITE.
    """

    data: Path
    app_id: str
    keyring: Keyring
    tables: dict[str, LakeTable]
    lock: FolderLock | None


def open_folder(data: Path, mode: Mode) -> OpenedFolder:
    """Open a folder; in mode WRITE make what is missing, and clean up after a crash.

    Raises:
        LockedError: another process writes there.
        KeyringError: the keys are missing or not safe.
        StoreError: the folder is not as it must be.
    """
    data = data.absolute()
    writes = mode is Mode.WRITE
    meta = open_layout(data, create=writes)
    with ExitStack() as undo:
        lock = _lock(data) if writes else None
        if lock is not None:
            undo.callback(lock.release)
        keyring = Keyring.open(data / KEYS, create=writes and not holds_data(data))
        if writes:
            _make(data)
        tables = _open_tables(data, PartitionCipher(keyring))
        if writes:
            for table in tables.values():
                table.recover()
        undo.pop_all()
    return OpenedFolder(data, meta.app_id, keyring, tables, lock)


def _lock(data: Path) -> FolderLock:
    try:
        return FolderLock(data)
    except OSError as error:
        raise StoreError(
            f"{data}: {error.strerror}; make it writable for this user, or use another data folder"
        ) from error


def _make(data: Path) -> None:
    try:
        for folder in (data / LAKE, data / INTAKE):
            make_private_folder(folder)
    except OSError as error:
        raise StoreError(f"{error.filename or data}: {error.strerror}; make it writable for this user") from error
    for spec in _specs():
        if not has_table(data, spec.name):
            LakeTable.create(table_folder(data, spec.name), spec)


def _open_tables(data: Path, cipher: PartitionCipher) -> dict[str, LakeTable]:
    intents = data / LAKE / INTENTS
    return {
        spec.name: LakeTable(table_folder(data, spec.name), spec, cipher, Intents(intents, spec.name))
        for spec in _specs()
    }


def _specs() -> tuple[TableSpec, ...]:
    return (SPANS_TABLE, *DERIVED_TABLES.values())
