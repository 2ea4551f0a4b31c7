"""What reading needs of a store; `SpanStore` is the one in the product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa


class Rows(Protocol):
    """Spans as of one moment: it never changes, whatever is written meanwhile."""

    def dataset(self) -> Any:
        """The rows as one pyarrow dataset, with all columns of `SPANS`."""
        ...

    def to_table(self, *, columns: Sequence[str] | None = None, filter: Any = None) -> pa.Table:  # noqa: A002 - Arrow's own name for it
        """The rows for which the Arrow expression holds, with the named columns of `SPANS` (None: all)."""
        ...

    def of_traces(self, trace_ids: Sequence[str], *, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of some traces, with the named columns of `SPANS` (None: all)."""
        ...


class RowSource(Protocol):
    """Where snapshots come from."""

    def snapshot(self, tenant: str | None = "default") -> Rows:
        """The spans of a tenant as of now; None means every tenant's."""
        ...


class TableSource(RowSource, Protocol):
    """A source that has derived tables too."""

    def read_table(self, table: str, *, tenant: str | None) -> pa.Table:
        """All rows of a derived table, such as `percentiles`, that are a tenant's."""
        ...
