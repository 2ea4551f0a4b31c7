"""Unlinking files that left a table: exactly those that our own commits removed, after the reader grace."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from spanward.store._durable import sync_folder
from spanward.store._lake_file import LakeFile
from spanward.store.compliance import ComplianceStore, PendingRemoval
from spanward.store.delta import LakeTable
from spanward.store.errors import RetryableError
from spanward.store.keyring import Keyring

EXPIRED = "expired"
COMPACTED = "compacted"
_ABANDONED_NS = 3_600 * 10**9


@dataclass(frozen=True, slots=True)
class Removed:
    """What `unlink_due` did.

    Attributes:
        files, bytes: what was unlinked.
        waiting: files whose reader grace has not passed.
        keys_destroyed: partitions whose data key is gone.
    """

    files: int = 0
    bytes: int = 0
    waiting: int = 0
    keys_destroyed: tuple[str, ...] = ()


def removals(
    table: LakeTable, files: Iterable[LakeFile], reason: str, *, now_ns: int, grace_seconds: float
) -> list[PendingRemoval]:
    """What to remember before the commit that removes `files`."""
    due = now_ns + int(grace_seconds * 1e9)
    return [PendingRemoval(table.spec.name, file.path, file.partition_name, reason, file.bytes, due) for file in files]


def unlink_due(table: LakeTable, compliance: ComplianceStore, keyring: Keyring, *, now_ns: int, actor: str) -> Removed:
    """Unlink the files of a table whose grace has passed, and finish what that finishes.

    When the last file of a partition that was deleted is gone, its data key is destroyed and its folder removed.

    Raises:
        RetryableError: a file cannot be unlinked; a later run finishes.
        StoreError: the compliance records cannot be written.
    """
    table.refresh()
    live = table.files()
    pending = compliance.pending_removals(table.spec.name)
    # long overdue and part of the table still: the commit that was to remove it never came. Not before: another process
    # may be between its schedule and its commit, and what is forgotten then is never unlinked
    kept = [item for item in pending if item.path in live and item.due_ns + _ABANDONED_NS <= now_ns]
    due = [item for item in pending if item.path not in live and item.due_ns <= now_ns]
    for item in due:
        _unlink(table.folder / item.path)
    compliance.forget_removals([*kept, *due])
    waiting = [item for item in pending if item.path not in live and item not in due]
    in_use = {item.partition for item in waiting} | {file.partition_name for file in live.values()}
    finished = {item.partition for item in due if item.reason == EXPIRED} - in_use
    destroyed = tuple(name for name in sorted(finished) if _finish(table, name, compliance, keyring, actor))
    return Removed(len(due), sum(item.bytes for item in due), len(waiting), destroyed)


def _finish(table: LakeTable, partition: str, compliance: ComplianceStore, keyring: Keyring, actor: str) -> bool:
    """Nothing is left of a partition: destroy its key; whether there was one."""
    destroyed = bool(table.spec.payload) and keyring.destroy(partition)
    _remove_empty_folders(table.folder, partition)
    compliance.complete_deletions(table.spec.name, partition, key_destroyed=destroyed, actor=actor)
    return destroyed


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_folder(path.parent)
    except OSError as error:
        raise RetryableError(f"{path} cannot be removed: {error.strerror}; make its folder writable") from error


def _remove_empty_folders(root: Path, partition: str) -> None:
    folder = root / partition
    while folder != root:
        with suppress(OSError):  # not empty, or a commit is just making it anew
            folder.rmdir()
        folder = folder.parent
