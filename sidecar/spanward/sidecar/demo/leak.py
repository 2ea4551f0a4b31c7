"""The proof that no raw personal value was stored: look for each in everything the sidecar wrote.

Two searches, for either alone proves little: the bytes of every file (a value in a log line, a name, a footer), and the
decrypted, decompressed content of the tables and of the intake log (a value that compression or encryption would hide
from the first search).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, quote_plus

import pyarrow as pa

from spanward.store._json_rows import row_lines
from spanward.store.layout import INTAKE
from spanward.store.log import LogReader
from spanward.store.records import SpansRecord, decode
from spanward.store.span_store import SpanStore


@dataclass(frozen=True, slots=True)
class LeakReport:
    """What was searched and found.

    Attributes:
        values: how many raw values were looked for.
        files, bytes: what was read of the folder.
        rows: rows of tables and log records whose decrypted content was read.
        found: where a value was seen, with the place but never the value.
    """

    values: int
    files: int
    bytes: int
    rows: int
    found: tuple[str, ...]


def search(store: SpanStore, values: Collection[str]) -> LeakReport:
    """Search the store's whole data folder for the values."""
    needles = {form.encode() for value in values if value for form in _forms(value)}
    files = [path for path in sorted(store.data.rglob("*")) if path.is_file()]
    size, found = 0, list[str]()
    for path in files:
        content = _content(path)
        size += len(content)
        found += [f"{path.relative_to(store.data)}: raw bytes"] if _contains(content, needles) else []
    rows = 0
    for place, table in _decrypted(store):
        rows += table.num_rows
        hits = sum(_contains(line.encode(), needles) for line in row_lines(table))
        found += [f"{place}: {hits} rows"] if hits else []
    return LeakReport(len(values), len(files), size, rows, tuple(found))


def _forms(value: str) -> set[str]:
    """The value as text, as part of a URL, and as part of a JSON string."""
    return {value, quote(value, safe=""), quote_plus(value), json.dumps(value)[1:-1]}


def _content(path: Path) -> bytes:
    """The bytes of a file; none of one that a commit or a trim has just removed."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _contains(content: bytes, needles: Collection[bytes]) -> bool:
    return any(needle in content for needle in needles)


def _decrypted(store: SpanStore) -> Iterator[tuple[str, pa.Table]]:
    yield "table spans", store.snapshot(None).to_table(columns=None, filter=None)
    yield "table percentiles", store.read_table("percentiles", tenant=None)
    for folder in _log_folders(store.data / INTAKE):
        for sequence, payload in LogReader.open(folder, store.keyring).records(0):
            record = decode(payload)
            if isinstance(record, SpansRecord):
                yield f"intake log {folder.name} record {sequence}", pa.Table.from_batches([record.rows])


def _log_folders(root: Path) -> list[Path]:
    return [path for path in sorted(root.iterdir()) if path.is_dir()] if root.is_dir() else []
