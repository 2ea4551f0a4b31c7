"""Spans out into one plain file, and back as a table.

What is written is decrypted: from then on its owner answers for it, and neither retention nor erasure reaches it. The
file can be read by its owner only.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from spanward.store._json_rows import row_lines, rows_of
from spanward.store._new_file import new_file
from spanward.store._source import TableSource
from spanward.store.errors import InvalidRequestError, PermanentError
from spanward.store.schema import SPANS
from spanward.store.sql import query, reading

__all__ = ["FORMATS", "export", "read_export", "row_lines"]

Progress = Callable[[int, int], None]

FORMATS: Final = ("jsonl.zst", "parquet")

_LINES_AT_ONCE: Final = 10_000
_ZSTD_LEVEL: Final = 6
_READ_BYTES: Final = 1 << 16
_PARQUET_MAGIC: Final = b"PAR1"


def export(
    store: TableSource,
    path: Path,
    *,
    format: str = "jsonl.zst",  # noqa: A002 - the word that users know
    tenant: str = "default",
    where: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write the spans of a tenant into a file; every column of `SPANS`, without loss.

    Args:
        store: where they are.
        path: the file; it appears when it is complete.
        format: `jsonl.zst`, one JSON object a line; or `parquet`.
        tenant: whose spans.
        where: an SQL condition on the columns, None for all.
        force: replace an existing file.
        progress: called with (spans written, spans in all) after each batch.

    Returns:
        How many spans were written.

    Raises:
        InvalidRequestError: the condition is wrong SQL, or there is no such format.
        PermanentError: the file exists, or cannot be written.
    """
    if format not in FORMATS:
        raise InvalidRequestError(f"there is no export format {format!r}; use one of {', '.join(FORMATS)}")
    condition = f" WHERE ({where}\n)" if where else ""  # the line end keeps a comment from swallowing the parenthesis
    total = query(store, f"SELECT count(*) FROM spans{condition}", tenant=tenant).column(0)[0].as_py()  # noqa: S608 - a condition is SQL, and the guard judges the whole
    with (
        reading(store, f"SELECT * FROM spans{condition}", tenant=tenant) as batches,  # noqa: S608 - as above
        new_file(path, force=force) as target,
    ):
        rows = (_as_spans(batch) for batch in batches)
        write = _write_json_lines if format == "jsonl.zst" else _write_parquet
        return write(_counted(rows, total, progress), target)


def read_export(path: Path) -> pa.Table:
    """The table that `export` wrote, of the schema `SPANS`; the format is told by the content.

    Raises:
        PermanentError: the file cannot be read.
        InvalidRequestError: it is not an export, or is damaged.
    """
    try:
        with path.open("rb") as source:
            magic = source.read(len(_PARQUET_MAGIC))
            source.seek(0)
            batches = _read_parquet(source) if magic == _PARQUET_MAGIC else list(_read_json_lines(source))
    except OSError as error:
        raise PermanentError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (zstandard.ZstdError, pa.ArrowException, ValueError) as error:
        raise InvalidRequestError(f"{path} is not an export, or is damaged: {_line(error)}") from error
    return pa.Table.from_batches(batches, schema=SPANS).unify_dictionaries()


def _as_spans(batch: pa.RecordBatch) -> pa.RecordBatch:
    try:
        return batch.cast(SPANS)
    except (pa.ArrowException, ValueError) as error:  # a condition that closes its parenthesis can go on as it likes
        raise InvalidRequestError(f"SQL: the condition must choose spans and no more: {_line(error)}") from error


def _counted(batches: Iterable[pa.RecordBatch], total: int, progress: Progress | None) -> Iterator[pa.RecordBatch]:
    done = 0
    for batch in batches:
        yield batch
        done += batch.num_rows
        if progress is not None:
            progress(done, max(done, total))  # spans may have come since they were counted


def _write_json_lines(batches: Iterable[pa.RecordBatch], target: IO[bytes]) -> int:
    rows = 0
    with zstandard.ZstdCompressor(_ZSTD_LEVEL).stream_writer(target, closefd=False) as writer:
        for batch in batches:
            for line in row_lines(batch):
                writer.write(line.encode() + b"\n")
            rows += batch.num_rows
    return rows


def _write_parquet(batches: Iterable[pa.RecordBatch], target: IO[bytes]) -> int:
    rows = 0
    with pq.ParquetWriter(target, SPANS, compression="zstd") as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows


def _read_parquet(source: IO[bytes]) -> list[pa.RecordBatch]:
    return list(pq.read_table(source).cast(SPANS).to_batches())


def _read_json_lines(source: IO[bytes]) -> Iterator[pa.RecordBatch]:
    lines = io.TextIOWrapper(io.BufferedReader(_Inflated(source)), encoding="utf-8", newline="\n")
    while block := list(islice(lines, _LINES_AT_ONCE)):
        yield rows_of(block, SPANS)


class _Inflated(io.RawIOBase):
    """A zstd stream as plain bytes; unlike the library's own reader it takes an early end for the damage it is."""

    def __init__(self, source: IO[bytes]) -> None:
        super().__init__()
        self._source = source
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._plain = b""

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what comes next; 0 at the end."""
        while not self._plain:
            packed = self._source.read(_READ_BYTES)
            if not packed:
                if not self._frame.eof:
                    raise ValueError("it ends too early")
                return 0
            self._plain = self._frame.decompress(packed)
        size = min(len(buffer), len(self._plain))
        buffer[:size], self._plain = self._plain[:size], self._plain[size:]
        return size


def _line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
