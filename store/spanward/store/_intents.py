"""Write intents: which files are about to be written, said before they are.

A crash between writing files and committing them to the table leaves files that no table version names. Their paths
stand in an intent, so the next open removes exactly those, and never has to guess what else may lie in the folder.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanward.store._durable import TEMPORARY_SUFFIX, publish
from spanward.store.layout import make_private_folder

_SUFFIX: Final = ".json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Intent:
    """Files that may exist without being part of the table.

    Attributes:
        path: where the intent itself stands.
        files: relative to the table's folder.
    """

    path: Path
    files: tuple[str, ...]


class Intents:
    """The intents of one table, each a small durable file."""

    def __init__(self, folder: Path, table: str) -> None:
        self._folder = folder
        self._table = table

    def record(self, files: Sequence[str]) -> Intent:
        """Say durably that these files may come to exist.

        Raises:
            OSError: the disk refused.
        """
        make_private_folder(self._folder)
        path = self._folder / f"{self._table}-{uuid.uuid4().hex}{_SUFFIX}"
        publish(path, json.dumps({"table": self._table, "files": list(files)}).encode())
        return Intent(path, tuple(files))

    def done(self, intent: Intent) -> None:
        """The files are part of the table, or gone. An intent that cannot be removed costs a check at the next open."""
        with suppress(OSError):
            intent.path.unlink()

    def recover(self, root: Path, is_live: Callable[[str], bool]) -> tuple[str, ...]:
        """Remove the files that a crash left outside the table, and then the intents.

        Call it only while no other process writes.

        Args:
            root: the table's folder.
            is_live: whether the table names a file.

        Returns:
            The removed files.

        Raises:
            OSError: a file cannot be removed.
        """
        removed: list[str] = []
        for path in sorted(self._folder.glob(f".{self._table}-*{TEMPORARY_SUFFIX}")):
            path.unlink()
        for path in sorted(self._folder.glob(f"{self._table}-*{_SUFFIX}")):
            intent = Intent(path, tuple(json.loads(path.read_bytes())["files"]))
            removed += [file for file in intent.files if not is_live(file) and _unlink(root / file)]
            self.done(intent)
        if removed:
            _log.warning(
                "%s: removed %d files that a crash left uncommitted; nothing is lost by it", root, len(removed)
            )
        return tuple(removed)


def _unlink(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
