"""Spans for the percentiles tests, and a store that lives in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spanward.connector.percentiles.aggregate import SPAN_COLUMNS
from spanward.store.batch import Batch, Signal
from spanward.store.errors import StoreError
from spanward.store.schema import PERCENTILES, SPANS

SCHEMA = pa.schema([SPANS.field(name) for name in SPAN_COLUMNS])
START_NS = 1_767_225_600_000_000_000
"""2026-01-01T00:00:00Z, a whole minute."""

MS = 1_000_000


def spans(
    durations_ms: Sequence[float],
    *,
    tenant: str = "default",
    service: str | None = "checkout",
    name: str = "GET /",
    kind: str = "server",
    status: str = "unset",
    start_ns: int = START_NS,
) -> pa.RecordBatch:
    """Spans of one operation."""
    rows = [
        {
            "tenant": tenant,
            "service_name": service,
            "name": name,
            "kind": kind,
            "status_code": status,
            "start_unix_nano": start_ns,
            "duration_ns": round(duration * MS),
        }
        for duration in durations_ms
    ]
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


def batch(sequence: int, *parts: pa.RecordBatch) -> Batch:
    """A batch of the log record `sequence`."""
    return Batch(Signal.TRACES, pa.concat_batches([spans([]), *parts]), sequence)


class MemoryStore:
    """The part of SpanStore that percentiles use; `fail` holds the errors of the next appends.

    An error in `fail` with the word "late" is raised after the rows are in the table.
    """

    app_id = "app-1"

    def __init__(self) -> None:
        self.table = PERCENTILES.empty_table()
        self.sequence = 0
        self.appends: list[tuple[int, int]] = []
        self.fail: list[Exception] = []
        self.hot: dict[int, pa.RecordBatch] = {}
        self.on_read: list[Any] = []
        self.lock = threading.Lock()
        self.tenant: str | None = None

    def claim_table(self, table: str, writer: str) -> None:
        """There is one connector."""

    def release_table(self, table: str, writer: str) -> None:
        """There is one connector."""

    def append_table(self, table: str, rows: pa.Table, *, first: int, last: int) -> None:
        """Commit, or fail as told."""
        assert table == "percentiles"
        error = self.fail.pop(0) if self.fail else None
        if error and "late" not in str(error):
            raise error
        with self.lock:
            if last <= self.sequence:
                raise StoreError(f"records up to {self.sequence} are in the table")
            self.table = pa.concat_tables([self.table, rows])
            self.sequence = last
            self.appends.append((first, last))
        if error:
            raise error

    def table_committed(self, table: str) -> int:
        """The last record in the table."""
        assert table == "percentiles"
        return self.sequence

    def read_table(self, table: str, *, tenant: str | None, columns: Sequence[str], filter: Any) -> pa.Table:  # noqa: A002
        """The rows; what is in `on_read` happens right after."""
        assert table == "percentiles"
        rows = self.table
        if self.on_read:
            self.on_read.pop(0)()
        rows = (rows if filter is None else rows.filter(filter)).select(columns)
        return rows if tenant is None else rows.filter(pc.field("tenant") == tenant)

    def rows_after(self, sequence: int, tenant: str | None) -> pa.Table:
        """The spans in the log above a sequence."""
        rows = pa.Table.from_batches([rows for number, rows in self.hot.items() if number > sequence], SCHEMA)
        return rows if tenant is None else rows.filter(pc.field("tenant") == tenant)

    def snapshot(self, tenant: str | None) -> MemoryStore:
        """All spans, to be read with `to_table`."""
        self.tenant = tenant
        return self

    def to_table(self, *, columns: Sequence[str], filter: Any) -> pa.Table:  # noqa: A002
        """The spans of the snapshot's tenant."""
        assert filter is None
        return self.rows_after(0, self.tenant).select(columns)

    def refresh(self) -> None:
        """Nothing is cached."""
