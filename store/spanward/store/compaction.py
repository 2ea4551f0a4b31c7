"""Compaction: many small files of a partition become one, with the same rows in the order that reading wants.

Each merge is one commit that adds and removes (`dataChange` false), so that every snapshot sees the rows once. Appends
may go on meanwhile: the merged files are those of one version, and later ones are left for the next time.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from spanward.store._lake_file import LakeFile
from spanward.store._merging import merged
from spanward.store._removal import COMPACTED, removals
from spanward.store.compliance import ComplianceStore
from spanward.store.delta import LakeTable
from spanward.store.errors import KeyringError, RetryableError
from spanward.store.parquet import MERGED, NewFile, new_path

_TINY_BYTES: Final = 1 << 20

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CompactionSettings:
    """When and how much is merged.

    Attributes:
        min_files: a partition with fewer small files is left as it is; at least 2.
        max_bytes: of files merged into one; a file of half of it or more is not small. A merge takes about 10 times
            as much memory, most of it for rows that wait, compressed, for those that come to lie beside them.
        reader_grace_seconds: between the commit and the unlinking of merged files (the retention's run unlinks them).
    """

    min_files: int = 8
    max_bytes: int = 40 << 20
    reader_grace_seconds: float = 600.0


@dataclass(frozen=True, slots=True)
class CompactionReport:
    """What was merged.

    Attributes:
        files_before, files_after: files that were merged, and what became of them.
        rows, bytes_before, bytes_after: their rows and sizes.
        skipped: merges that another writer or a destroyed key prevented; the next run tries again.
    """

    files_before: int = 0
    files_after: int = 0
    rows: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    skipped: int = 0


def compact(
    tables: Iterable[LakeTable],
    compliance: ComplianceStore,
    settings: CompactionSettings,
    *,
    now_ns: Callable[[], int],
) -> CompactionReport:
    """Merge the small files of every partition.

    Raises:
        StoreError: a table or the compliance records cannot be read or written.
    """
    total = CompactionReport()
    for table in tables:
        table.refresh()
        for files in merges(table.files().values(), settings):
            try:
                total = _sum(total, _merge(table, files, compliance, settings, now_ns()))
            except (RetryableError, KeyringError) as error:
                _log.warning("compaction of %s: %s", files[0].partition_name, error)
                total = _sum(total, CompactionReport(skipped=1))
    return total


def merges(files: Iterable[LakeFile], settings: CompactionSettings) -> Iterator[Sequence[LakeFile]]:
    """Which files to merge into one.

    A file joins smaller ones only when these are together half as large as it (or all are tiny): a row then comes into
    a file of one and a half times the size at each merge, so it is rewritten a logarithmic number of times. Half, for
    files of a steady load are about as large as each other, and of two such files one is always the larger.
    """
    partitions: dict[str, list[LakeFile]] = defaultdict(list)
    for file in files:
        if file.bytes < settings.max_bytes // 2:
            partitions[file.partition_name].append(file)
    for small in partitions.values():
        for files_of_bin in _bins(sorted(small, key=lambda file: (file.bytes, file.path)), settings.max_bytes):
            if len(files_of_bin) >= max(settings.min_files, 2):
                yield files_of_bin


def _bins(files: Sequence[LakeFile], max_bytes: int) -> Iterator[Sequence[LakeFile]]:
    chosen: list[LakeFile] = []
    size = 0
    for file in files:
        if chosen and (size + file.bytes > max_bytes or file.bytes > max(2 * size, _TINY_BYTES)):
            yield chosen
            chosen, size = [], 0
        chosen.append(file)
        size += file.bytes
    yield chosen


def _merge(
    table: LakeTable,
    files: Sequence[LakeFile],
    compliance: ComplianceStore,
    settings: CompactionSettings,
    now_ns: int,
) -> CompactionReport:
    partition = files[0].partition
    pieces = merged(files, table, group_rows=MERGED.row_group)
    staged = table.stage([NewFile(new_path(partition), partition, pieces)], form=MERGED)
    compliance.schedule_removals(
        removals(table, files, COMPACTED, now_ns=now_ns, grace_seconds=settings.reader_grace_seconds)
    )
    table.commit(staged, removes=files, data_change=False, now_ns=now_ns)
    return CompactionReport(
        files_before=len(files),
        files_after=len(staged.files),
        rows=sum(file.rows for file in staged.files),
        bytes_before=sum(file.bytes for file in files),
        bytes_after=sum(file.bytes for file in staged.files),
    )


def _sum(left: CompactionReport, right: CompactionReport) -> CompactionReport:
    return CompactionReport(
        files_before=left.files_before + right.files_before,
        files_after=left.files_after + right.files_after,
        rows=left.rows + right.rows,
        bytes_before=left.bytes_before + right.bytes_before,
        bytes_after=left.bytes_after + right.bytes_after,
        skipped=left.skipped + right.skipped,
    )
