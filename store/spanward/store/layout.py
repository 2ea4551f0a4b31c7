"""The data folder: what lies where, and the identity it has.

DATA/                      a folder that is made is 0700, files in it 0600
    meta.json              format version and app_id; written once, before anything else
    lock                   held by the one process that writes
    keys/                  `spanward.store.keyring`
    intake/<pipeline>/     `spanward.store.log`
    lake/<table>/          Delta tables: spans, percentiles
    lake/feed              the intake log that goes into the lake
    lake/intents/          files that are being written, so that a crash leaves none unnoticed
    compliance.sqlite      `spanward.store.compliance`
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from spanward.store._durable import OWNER_ONLY_FOLDER, make_folder, publish
from spanward.store.errors import StoreError

META: Final = "meta.json"
KEYS: Final = "keys"
INTAKE: Final = "intake"
LAKE: Final = "lake"
INTENTS: Final = "intents"
COMPLIANCE: Final = "compliance.sqlite"
FORMAT: Final = 1
"""Version of this layout; a change that older code cannot read raises it."""

_DELTA_LOG: Final = "_delta_log"


def intake_folder(data: Path, pipeline: str) -> Path:
    """Where the intake log of a pipeline lies.

    Args:
        data: the data folder.
        pipeline: its identifier, such as `traces` or `traces/llm`; different ones get different folders.
    """
    return data / INTAKE / quote(pipeline, safe="").replace(".", "%2E")


def table_folder(data: Path, table: str) -> Path:
    """Where a Delta table lies."""
    return data / LAKE / table


@dataclass(frozen=True, slots=True)
class Meta:
    """The identity of a data folder.

    Attributes:
        app_id: names this folder's log in Delta application transactions; never reused.
    """

    app_id: str


def open_layout(data: Path, *, create: bool) -> Meta:
    """Check a data folder, or make one.

    Args:
        data: the folder; it and what is missing in it is made when `create` is set.
        create: False for readers, which change nothing.

    Raises:
        StoreError: the folder cannot be read or written, lost its meta.json, or is of a newer version.
    """
    try:
        return _read(data) or _make(data, create=create)
    except OSError as error:
        raise StoreError(
            f"{error.filename or data}: {error.strerror}; make it writable for this user, or use another folder",
        ) from error


def _read(data: Path) -> Meta | None:
    path = data / META
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StoreError(f"{path} is not JSON; restore it from a backup") from error
    return _parse(path, document)


def _parse(path: Path, document: Any) -> Meta:
    match document:
        case {"format": int(version), "app_id": str(app_id)} if app_id:
            if version > FORMAT:
                raise StoreError(
                    f"{path}: format {version} is newer than this version reads ({FORMAT}); upgrade spanward"
                )
            return Meta(app_id)
        case _:
            raise StoreError(f"{path} lacks format and app_id; restore it from a backup")


def _make(data: Path, *, create: bool) -> Meta:
    used = _used(data)
    if used:
        raise StoreError(f"{data / META} is missing though {used[0]} has data; restore it from a backup")
    if not create:
        raise StoreError(
            f"{data}: there is no spanward data here; start the sidecar with this folder, or name another one"
        )
    make_folder(data)
    document = {"format": FORMAT, "app_id": uuid.uuid4().hex}
    publish(data / META, json.dumps(document).encode() + b"\n")
    meta = _read(data)  # another process may have been faster; its identity counts
    if meta is None:
        raise StoreError(f"{data / META} vanished while it was made; keep other programs out of this folder")
    return meta


def holds_data(data: Path) -> bool:
    """Whether anything in the folder was written under its keys: tables, log segments, sealed compliance records."""
    return bool(_used(data)) or (data / COMPLIANCE).exists()


def _used(data: Path) -> list[str]:
    """The folders that have data. A damaged segment that was set aside counts too: its key is wrapped all the same."""
    wanted = ((LAKE, "*.json"), (INTAKE, "*.log"), (INTAKE, "*.log.damaged*"))
    return [f"{name}/" for name, pattern in wanted if any((data / name).rglob(pattern))]


def make_private_folder(folder: Path) -> None:
    """Make a folder of ours that nobody else can look into, also when it stood there before.

    Raises:
        OSError: it cannot be made or is somebody else's.
    """
    make_folder(folder)
    folder.chmod(OWNER_ONLY_FOLDER)


def has_table(data: Path, table: str) -> bool:
    """Whether the Delta table was ever made."""
    return any((table_folder(data, table) / _DELTA_LOG).glob("*.json"))
