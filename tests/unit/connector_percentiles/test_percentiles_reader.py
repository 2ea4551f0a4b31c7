"""Reading percentiles: windows, grouping, and table plus memory as one consistent whole."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from spanward.connector.percentiles.percentiles import table_rows
from spanward.connector.percentiles.reader import percentiles
from spanward.connector.percentiles.state import SketchState
from spanward.store.errors import InvalidRequestError, RetryableError
from spanward.store.span_store import SpanStore

from .support import MS, START_NS, MemoryStore, batch, spans

NOON = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def store_with(*parts: pa.RecordBatch) -> MemoryStore:
    """A store whose table has the parts (records 1, 2, ...) and whose log has them too."""
    store = MemoryStore()
    for sequence, rows in enumerate(parts, 1):
        state = SketchState(0, max_series=99)
        state.add(batch(sequence, rows))
        flush = state.take()
        assert flush is not None
        store.append_table("percentiles", table_rows(flush, "app-1"), first=sequence, last=sequence)
        store.hot[sequence] = rows
    return store


def read(store: MemoryStore, **options: Any) -> list[dict[str, Any]]:
    everything: dict[str, Any] = {"tenant": "default", **options}
    rows: list[dict[str, Any]] = percentiles(cast("SpanStore", store), **everything).to_pylist()
    return rows


def test_figures_of_one_operation() -> None:
    """Scenario: 1..1000 ms in two flushes and the log. Guarantee: count, errors, mean, ends and quantiles in ns."""
    store = store_with(spans(range(1, 401)), spans(range(401, 801)))
    store.hot[3] = spans(range(801, 1001), status="error")
    (row,) = read(store, by=("service_name", "name"))
    assert (row["service_name"], row["name"], row["count"], row["error_count"]) == ("checkout", "GET /", 1000, 200)
    assert row["error_rate"] == 0.2
    assert row["mean_ns"] == 500.5 * MS
    assert (row["min_ns"], row["max_ns"]) == (MS, 1000 * MS)
    for quantile, exact in (("p50", 500), ("p90", 900), ("p95", 950), ("p99", 990), ("p99.9", 999)):
        assert row[f"{quantile}_ns"] == pytest.approx(exact * MS, rel=0.003)


def test_default_grouping_is_sorted() -> None:
    """Scenario: several operations. Guarantee: one row for each service, name, kind and status, in that order."""
    store = store_with(spans([2.0], name="b"), spans([1.0], name="a"), spans([1.0], name="a", status="error"))
    rows = read(store, quantiles=(0.5,))
    assert [(row["name"], row["kind"], row["status_code"]) for row in rows] == [
        ("a", "server", "error"),
        ("a", "server", "unset"),
        ("b", "server", "unset"),
    ]
    assert "p99_ns" not in rows[0]


def test_filters() -> None:
    """Scenario: tenant, service, operation and none of them. Guarantee: each leaves exactly its own spans."""
    store = store_with(
        spans([1.0]), spans([1.0], tenant="acme"), spans([1.0], service=None), spans([1.0], name="POST /")
    )
    store.hot[9] = spans([1.0], tenant="acme", name="hot")
    assert sum(row["count"] for row in read(store)) == 3
    assert sum(row["count"] for row in read(store, tenant=None)) == 5
    assert sum(row["count"] for row in read(store, tenant="acme")) == 2
    assert sum(row["count"] for row in read(store, service="")) == 1
    assert sum(row["count"] for row in read(store, service="checkout", operation="GET /")) == 1
    assert read(store, tenant="nobody") == []


def test_windows_are_whole_minutes() -> None:
    """Scenario: spans in three minutes. Guarantee: start counts from its minute on, end excludes minutes after it."""
    store = store_with(*(spans([1.0], start_ns=START_NS + minute * 60_000 * MS) for minute in range(3)))
    minute = dt.timedelta(minutes=1)
    assert sum(row["count"] for row in read(store, start=NOON + minute)) == 2
    assert sum(row["count"] for row in read(store, start=NOON + minute * 1.5)) == 2
    assert sum(row["count"] for row in read(store, end=NOON + minute)) == 1
    assert sum(row["count"] for row in read(store, start=NOON + minute, end=NOON + 2 * minute)) == 1
    elsewhere = (NOON + minute).astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
    assert sum(row["count"] for row in read(store, start=elsewhere)) == 2
    assert len(read(store, by=("minute",))) == 3


def test_everything_as_one_group() -> None:
    """Scenario: grouping by nothing. Guarantee: one row for all, none when there is nothing."""
    assert read(store_with(spans([1.0]), spans([3.0], name="b")), by=())[0]["count"] == 2
    assert read(MemoryStore(), by=()) == []
    assert read(MemoryStore()) == []


def test_a_lake_without_a_sidecar() -> None:
    """Scenario: spans were written straight into the lake, no sketch ever. Guarantee: computed from the spans."""
    store = MemoryStore()
    store.hot[1] = spans([1.0, 2.0])
    assert read(store, by=())[0]["count"] == 2
    assert read(store, tenant="acme") == []


def test_the_live_connector_is_used_when_there_is_one() -> None:
    """Scenario: in the sidecar. Guarantee: table plus what the connector holds, each span once."""
    store = store_with(spans([1.0]))
    state = SketchState(1, max_series=9)
    state.add(batch(2, spans([2.0, 3.0])))
    assert read(store, held=state.held, by=())[0]["count"] == 3


def test_a_flush_between_the_two_reads() -> None:
    """Scenario: the sidecar commits between the two reads. Guarantee: read again, nothing twice, nothing lost."""
    store = store_with(spans([1.0]))
    rows = spans([2.0, 3.0])
    store.hot[2] = rows

    def flush_now() -> None:
        state = SketchState(1, max_series=9)
        state.add(batch(2, rows))
        flush = state.take()
        assert flush is not None
        store.append_table("percentiles", table_rows(flush, "app-1"), first=2, last=2)
        del store.hot[1], store.hot[2]  # and the log is cut

    store.on_read = [flush_now]
    assert read(store, by=())[0]["count"] == 3


def test_a_table_that_never_rests() -> None:
    """Scenario: commits faster than reads. Guarantee: an error that says to try again, instead of wrong numbers."""
    with pytest.raises(RetryableError, match="try again"):
        read(store_with(spans([1.0])), held=lambda _: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quantiles": (1.5,)}, "0..1"),
        ({"by": ("trace_id",)}, "trace_id"),
        ({"start": dt.datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - the very mistake
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    """Scenario: a wrong quantile, column or time. Guarantee: an error that names it."""
    with pytest.raises(InvalidRequestError, match=message):
        read(MemoryStore(), **options)


def test_error_up_to_p999_on_the_lognormal() -> None:
    """Scenario: 100,000 lognormal durations over many flushes. Guarantee: <= 1 % off up to p99.9 through the table."""
    durations = np.random.default_rng(5).lognormal(3, 1.2, 100_000)
    store = store_with(*(spans(part.tolist()) for part in np.array_split(durations, 10)))
    (row,) = read(store, by=())
    exact = np.quantile(np.round(durations * MS), (0.5, 0.9, 0.95, 0.99, 0.999), method="inverted_cdf")
    found = [row[name] for name in ("p50_ns", "p90_ns", "p95_ns", "p99_ns", "p99.9_ns")]
    assert found == pytest.approx(list(exact), rel=0.003)
