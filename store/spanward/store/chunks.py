"""Few large batches in the place of many small ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import pyarrow as pa

from spanward.store.records import concatenate

_ENOUGH_ROWS: Final = 1024
"""Whatever works on columns pays for each batch of each column; from here on the rows cost more than that."""


def joined(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The rows of batches of one schema, in their order, where small neighbours are one batch."""
    waiting: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= _ENOUGH_ROWS:
            yield concatenate(waiting)
            waiting, rows = [], 0
    if waiting:
        yield concatenate(waiting)
