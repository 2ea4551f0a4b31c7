"""Encrypted datasets for DuckDB, without its deadlock.

DuckDB starts a scan by `Scanner.to_reader()`, and pyarrow holds the interpreter's lock in that call while it opens
files. Opening an encrypted file asks Python for a key, on whichever of Arrow's threads comes first; with two of them
each waits for what the other holds, for ever (seen with pyarrow 26 and DuckDB 1.5). `Scanner.to_batches()` lets go of
the lock, both while it waits and when it is thrown away, and streams as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds

from spanward.store._encryption import scan_left_early


class ScannableDataset(ds.InMemoryDataset):  # type: ignore[misc]  # pyarrow ships no types
    """What DuckDB takes for a dataset: projection and filter reach the one behind it, batches come one at a time."""

    def __init__(self, dataset: ds.Dataset) -> None:
        super().__init__(dataset.schema.empty_table())
        self._behind = dataset

    def scanner(self, **options: Any) -> _Scanner:
        """As `pyarrow.dataset.Dataset.scanner`; DuckDB calls it once for each time the table stands in a statement."""
        return _Scanner(self._behind.scanner(**options))


class _Scanner:
    """The part of `pyarrow.dataset.Scanner` that DuckDB uses."""

    def __init__(self, scanner: ds.Scanner) -> None:
        self._scanner = scanner

    @property
    def projected_schema(self) -> pa.Schema:
        return self._scanner.projected_schema

    def to_reader(self) -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(self._scanner.projected_schema, self._batches())

    def _batches(self) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._scanner.to_batches()
        except BaseException:  # LIMIT and time limits end it with GeneratorExit
            scan_left_early()
            raise
