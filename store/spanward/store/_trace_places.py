"""Where the spans of a trace lie: in which row groups of which files.

A row group is the least that can be read of a file, and to read all its columns takes milliseconds. Bounds do not tell
that an id is not there, for ids are random. So the ids themselves, a clear column, are read once a file, and kept as a
hash and a row group each: eight bytes. Files never change.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from spanward.store._lake_file import LakeFile
from spanward.store.errors import StoreError

Places: TypeAlias = npt.NDArray[np.uint64]
"""Sorted; above, 32 bits of the hash of an id, below, 32 bits of a row group that has it."""

_MAX_BYTES: Final = 64 << 20
_LOW: Final = np.uint64(0xFFFF_FFFF)
_HALF: Final = np.uint64(32)


class TracePlaces:
    """Finds the row groups in which traces are, of the files of one table; thread-safe.

    Two ids of one hash cost a row group that is read in vain. What is known of a file is forgotten once the file left
    the table. When there is no more room, that of further files is not kept: every trace is looked for in every file,
    so that to make room for one would only push out another that is needed next.
    """

    def __init__(self, folder: Path, *, max_bytes: int = _MAX_BYTES) -> None:
        """Know of no file yet.

        Args:
            folder: of the table.
            max_bytes: what is kept may take; ten million spans in traces of ten take eight megabytes.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._known: dict[str, Places] = {}
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """What is kept now."""
        return self._bytes

    def find(self, files: Collection[LakeFile], trace_ids: Sequence[str]) -> Iterator[tuple[LakeFile, list[int]]]:
        """The files that have spans of the traces, each with its row groups that do; a few more may be among them.

        Args:
            files: all that the table has now.
            trace_ids: as the table has them.

        Raises:
            StoreError: a file cannot be read.
        """
        self._forget_others({file.path for file in files})
        wanted = _hashes(trace_ids) << _HALF
        for file in files:
            groups = _groups_of(self._places(file), wanted)
            if groups:
                yield file, groups

    def _places(self, file: LakeFile) -> Places:
        known = self._known.get(file.path)
        if known is not None:
            return known
        places = read_places(self._folder / file.path)
        with self._lock:
            if self._bytes + places.nbytes <= self._max_bytes and file.path not in self._known:
                self._known[file.path] = places
                self._bytes += places.nbytes
        return places

    def _forget_others(self, paths: Collection[str]) -> None:
        with self._lock:
            for path in self._known.keys() - paths:
                self._bytes -= self._known.pop(path).nbytes


def read_places(path: Path) -> Places:
    """The places of all traces in a file, from the one column that has their ids; it takes no key.

    Raises:
        StoreError: the file cannot be read.
    """
    try:
        with pq.ParquetFile(path) as file:
            columns = (file.read_row_group(group, ["trace_id"]).column(0) for group in range(file.num_row_groups))
            found = [_hashes(ids.unique().to_pylist()) << _HALF | np.uint64(group) for group, ids in enumerate(columns)]
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"the lake cannot be read: {error}; take a new snapshot, or restore the files") from error
    return np.unique(np.concatenate([*found, np.empty(0, np.uint64)]))


def _hashes(trace_ids: Sequence[str]) -> Places:
    """32 bits an id; Python's own hash, so that nobody can choose ids that collide."""
    return np.fromiter((hash(trace_id) & 0xFFFF_FFFF for trace_id in trace_ids), np.uint64, len(trace_ids))


def _groups_of(places: Places, wanted: Places) -> list[int]:
    """The row groups, ascending, in which any of the hashes is."""
    first = np.searchsorted(places, wanted, side="left")
    end = np.searchsorted(places, wanted | _LOW, side="right")
    found = np.flatnonzero(first < end)  # most files have none
    return sorted({int(place & _LOW) for at in found for place in places[first[at] : end[at]]})
