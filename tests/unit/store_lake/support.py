"""Spans, batches and looks into a lake folder: what the tests of the lake share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from spanward.processor.policy.labels import Classification, Retention
from spanward.processor.policy.span import (
    EventRecord,
    LinkRecord,
    ResourceRecord,
    ScopeRecord,
    SpanRecord,
    Verdict,
)
from spanward.store.batch import Batch, Signal
from spanward.store.rows import build_rows
from spanward.store.schema import PERCENTILES
from spanward.store.span_store import SpanStore

NOW_NS: Final = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z, where ManualClock starts
DAY_NS: Final = 86_400 * 10**9


def span(number: int, *, marker: str = "", **changes: Any) -> SpanRecord:
    """A span with something in every kind of column; `marker` is in every payload column that holds text."""
    record = SpanRecord(
        trace_id=f"{number * 7919 % 1009:032x}",
        span_id=f"{number + 1:016x}",
        parent_span_id=f"{number:016x}" if number else "",
        trace_state=f"a={marker}",
        name="GET /items",
        start_unix_nano=NOW_NS + number * 1_001,
        end_unix_nano=NOW_NS + number * 1_001 + 5_000_003,
        resource=ResourceRecord({"service.name": "shop", "host.name": f"host{marker}", "n": 1}, schema_url=marker),
        scope=ScopeRecord(f"lib{marker}", "1.0", {"k": marker}, 1, marker),
        flags=1,
        kind=2,
        status_code=2,
        status_message=f"failed {marker}",
        attributes={
            "http.route": "/items",
            "http.request.method": "GET",
            "http.response.status_code": 500,
            "url.full": f"https://shop/items?{marker}",
            "user.id": f"u{marker}",
            "text": f"free {marker}",
            "count": 7,
            "ratio": 0.5,
            "flag": True,
            "list": [1, marker, None],
            "empty": None,
            "spanward.memory_mb": 12.5,
        },
        events=[EventRecord(NOW_NS + 5, f"event {marker}", {"e": marker}, 2)],
        links=[LinkRecord("ab" * 16, "cd" * 8, marker, {"l": marker}, 3, 1)],
        dropped_attributes_count=1,
        dropped_events_count=2,
        dropped_links_count=3,
        verdict=Verdict(pii=("email",), subjects=("k1:00",), quality_score=0.75, quality_violations=("range",)),
    )
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def rows(
    count: int,
    *,
    first: int = 0,
    tenant: str = "default",
    classification: str = "internal",
    retention: str = "30d",
    received_at_ns: int = NOW_NS,
    marker: str = "",
) -> pa.RecordBatch:
    """Governed rows of one partition."""
    records = [span(first + number, marker=marker) for number in range(count)]
    for record in records:
        assert record.verdict is not None
        record.verdict.classification = Classification(classification)
        record.verdict.retention = Retention.parse(retention)
    return build_rows(records, tenant=tenant, received_at_ns=received_at_ns)


def batch(sequence: int, content: pa.RecordBatch | None = None, **options: Any) -> Batch:
    """A logged batch; its spans have ids that no batch of another sequence has."""
    count = options.pop("count", 3)
    return Batch(Signal.TRACES, rows(count, first=sequence * 1000, **options) if content is None else content, sequence)


def span_ids(store: SpanStore, tenant: str | None = "default") -> list[str]:
    """Ids of all spans that a reader sees, sorted, repeats included."""
    return sorted(store.snapshot(tenant).to_table(columns=["span_id"])["span_id"].to_pylist())


def ids_of(*batches: Batch) -> list[str]:
    """Ids of the spans of batches, sorted."""
    return sorted(span_id for one in batches for span_id in one.rows.column("span_id").to_pylist())


def parquet_files(store: SpanStore, table: str = "spans") -> list[Path]:
    """Data files that lie in a table's folder, whether or not a version names them."""
    folder = store.data / "lake" / table
    return sorted(path for path in folder.rglob("part-*.parquet"))


def all_bytes(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The content of every file under a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path, path.read_bytes()


def sketches(count: int, *, first: int, last: int, day: int = 0, tenant: str = "default") -> pa.Table:
    """Rows of the table `percentiles`."""
    minute = (NOW_NS + day * DAY_NS) // 1000
    row = {
        "date": minute // 1_000_000 // 86_400,
        "tenant": tenant,
        "service_name": "shop",
        "name": "GET /items",
        "kind": "server",
        "status_code": "ok",
        "minute": minute,
        "scale": 7,
        "count": 2,
        "sum_ns": 3.0,
        "min_ns": 1,
        "max_ns": 2,
        "zero_count": 0,
        "bucket_index": [1, 5],
        "bucket_count": [1, 1],
        "app_id": "app",
        "sequence_first": first,
        "sequence_last": last,
    }
    columns = [pa.array([row[field.name]] * count, _plain(field.type)).cast(field.type) for field in PERCENTILES]
    return pa.table(columns, schema=PERCENTILES)


def _plain(kind: pa.DataType) -> pa.DataType:
    return pa.int32() if pa.types.is_date(kind) else kind
