"""The rows of many files in one order, a row group at a time, without holding all of them as they are in memory.

Rows take ten times the room in memory that they take on disk. So they are read a few thousand at a time, cut up by the
row group they will come to lie in, and put aside compressed; each group is then put together from its pieces. What is
held is the columns that are sorted by, the compressed pieces, and one group.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import ipc

from spanward.store._encryption import scan_left_early
from spanward.store._lake_file import LakeFile
from spanward.store.delta import LakeTable
from spanward.store.errors import StoreError
from spanward.store.snapshot import files_dataset, read

_ROWS_AT_A_TIME: Final = 16_384

Ranks: TypeAlias = npt.NDArray[np.int64]


def merged(files: Sequence[LakeFile], table: LakeTable, *, group_rows: int) -> Iterator[pa.Table]:
    """The rows of files of one partition, in the table's order, without the partition columns.

    Args:
        files: of the table.
        table: whose `sort_by` is the order.
        group_rows: rows of each table that is returned; the last one may have fewer.

    Raises:
        KeyringError: a key is missing.
        StoreError: a file cannot be read.
    """
    ranks = _ranks(files, table)
    groups = [_Group() for _ in range(0, len(ranks), group_rows)]
    for rows, ranks_of_rows in _batches(files, table, ranks):
        _put_aside(groups, rows, ranks_of_rows, group_rows)
    for number, group in enumerate(groups):
        groups[number] = _Group()  # let go of it once it is written
        yield group.rows()


@dataclass(frozen=True, slots=True)
class _Group:
    """What will lie in one row group: compressed pieces, and the place of each of their rows."""

    pieces: list[bytes] = field(default_factory=list)
    ranks: list[Ranks] = field(default_factory=list)

    def add(self, rows: pa.RecordBatch, ranks: Ranks) -> None:
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as compressed, ipc.new_stream(compressed, rows.schema) as writer:
            writer.write_batch(rows)
        self.pieces.append(sink.getvalue().to_pybytes())  # the buffer itself is larger than its content
        self.ranks.append(ranks)

    def rows(self) -> pa.Table:
        tables: list[pa.Table] = []
        for piece in self.pieces:
            with pa.CompressedInputStream(pa.BufferReader(piece), "zstd") as source, ipc.open_stream(source) as reader:
                tables.append(reader.read_all())
        whole = pa.concat_tables(tables).combine_chunks()  # taking from one chunk is several times as fast
        return whole.take(pa.array(np.argsort(np.concatenate(self.ranks))))


def _ranks(files: Sequence[LakeFile], table: LakeTable) -> Ranks:
    """The place of each row, as the files have them one after the other, among all rows in order."""
    keys = pa.concat_tables(read(files_dataset([file], table), table.spec.sort_by, None) for file in files)
    order = pc.call_function(
        "sort_indices", [keys], pc.SortOptions([(name, "ascending") for name in table.spec.sort_by])
    ).to_numpy()
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    return ranks


def _batches(files: Sequence[LakeFile], table: LakeTable, ranks: Ranks) -> Iterator[tuple[pa.RecordBatch, Ranks]]:
    first = 0
    for file in files:
        scanner = files_dataset([file], table).scanner(
            columns=table.spec.file_schema.names,
            batch_size=_ROWS_AT_A_TIME,
            batch_readahead=1,
            fragment_readahead=1,
            use_threads=False,
        )
        try:
            for batch in scanner.to_batches():
                yield batch, ranks[first : first + batch.num_rows]
                first += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            scan_left_early()
            raise StoreError(f"the lake cannot be read: {error}; restore the files") from error
        except BaseException:
            scan_left_early()
            raise


def _put_aside(groups: Sequence[_Group], rows: pa.RecordBatch, ranks: Ranks, group_rows: int) -> None:
    order = np.argsort(ranks)
    ordered, ranks = rows.take(pa.array(order)), ranks[order]
    first = 0
    cuts = np.searchsorted(ranks, np.arange(1, len(groups) + 1) * group_rows)
    for number, end in enumerate(cuts.tolist()):
        if end > first:
            groups[number].add(ordered.slice(first, end - first), ranks[first:end])
            first = end
