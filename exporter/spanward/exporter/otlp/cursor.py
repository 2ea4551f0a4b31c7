"""Up to where the log has been forwarded, kept across restarts."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from spanward.store._durable import make_folder, overwrite
from spanward.store.errors import StoreError


class Cursor:
    """A number in a file that is always whole: the sequence of the last record that needs no forwarding any more.

    Attributes:
        sequence: the durable number; 0 before the first record.
    """

    def __init__(self, data: Path, log: str, component: str) -> None:
        """Read the cursor of a component in a log.

        Args:
            data: the data folder.
            log: the name of the log's folder; a component may stand in several pipelines, each with its own numbers.
            component: its id, such as `otlp/backup`; different ones get different files.

        Raises:
            StoreError: the file is there and is not a cursor.
        """
        self._path = data / "cursors" / log / f"{quote(component, safe='')}.json"
        self.sequence = self._read()

    def advance(self, sequence: int) -> None:
        """Make a higher number durable; a lower or equal one changes nothing.

        Raises:
            StoreError: the disk refused; the number stays as it was.
        """
        if sequence > self.sequence:
            self.set(sequence)

    def set(self, sequence: int) -> None:
        """Make a number durable.

        Raises:
            StoreError: the disk refused; the number stays as it was.
        """
        try:
            make_folder(self._path.parent)
            overwrite(self._path, json.dumps({"sequence": sequence}).encode())
        except OSError as error:
            raise StoreError(f"{self._path}: {error.strerror}; make the data folder writable") from error
        self.sequence = sequence

    def _read(self) -> int:
        try:
            document = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            raise StoreError(f"{self._path} cannot be read as a cursor; delete it to forward the whole log") from error
        match document:
            case {"sequence": int(sequence)} if sequence >= 0 and not isinstance(sequence, bool):
                return sequence
            case _:
                raise StoreError(f"{self._path} is not a cursor; delete it to forward the whole log")
