"""Percentiles of any window: the partials in the table, and what is not in there yet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spanward.connector.percentiles.aggregate import KEYS, PARTIALS, SPAN_COLUMNS, aggregate, merge, sketch_columns
from spanward.connector.percentiles.grouping import group_rows
from spanward.store.errors import InvalidRequestError, RetryableError
from spanward.store.span_store import SpanStore

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)
BY: Final = ("service_name", "name", "kind", "status_code")

Held: TypeAlias = Callable[[int], "pa.Table | None"]
"""The partials of log records above a sequence; None when that moment has passed."""

_TABLE: Final = "percentiles"
_ATTEMPTS: Final = 10
_MINUTE: Final = PARTIALS.field("minute").type


def percentiles(
    store: SpanStore,
    *,
    tenant: str | None,
    service: str | None = None,
    operation: str | None = None,
    start: dt.datetime | None = None,
    end: dt.datetime | None = None,
    quantiles: Sequence[float] = QUANTILES,
    by: Sequence[str] = BY,
    held: Held | None = None,
) -> pa.Table:
    """Latency of spans by operation, within 0.271 %, every span that was acknowledged included.

    Args:
        store: where the table is.
        tenant: whose spans; None for those of all.
        service: only spans of this service; "" for those whose resource names none.
        operation: only spans of this name.
        start: aware; spans that ended in this minute or later.
        end: aware; spans that ended in a minute that begins before this time.
        quantiles: each within 0..1; a column `p50_ns`, `p99.9_ns`, ... for each.
        by: what to tell apart: any of tenant, service_name, name, kind, status_code, minute.
        held: in the sidecar, the running connector's `held`; elsewhere None: what the table lacks is then computed
            from spans.

    Returns:
        The columns `by`, count, error_count, error_rate (0..1), mean_ns, min_ns, max_ns and one a quantile (doubles but
        for the counts, minimum and maximum), sorted by `by`.

    Raises:
        InvalidRequestError: an argument is not of these.
        RetryableError: the table was written too often while it was read.
    """
    _check(quantiles, by, start, end)
    condition = _condition(tenant, service, operation, start, end)
    partials = _consistent(store, tenant, condition, held or _from_spans(store, tenant))
    table = _table(partials, quantiles, by)
    return table.sort_by([(name, "ascending") for name in by]) if by else table


def _from_spans(store: SpanStore, tenant: str | None) -> Held:
    def held(after: int) -> pa.Table:
        if after:
            return aggregate(store.rows_after(after, tenant).select(SPAN_COLUMNS))
        # nothing was ever flushed: a lake that is written without a sidecar has spans only
        return aggregate(store.snapshot(tenant).to_table(columns=SPAN_COLUMNS, filter=None))

    return held


def _consistent(store: SpanStore, tenant: str | None, condition: Any, held: Held) -> pa.Table:
    """Partials of every record exactly once: what the table has up to a sequence, and `held` above it.

    A flush may land in between; then the sequence has moved, and both are read again.
    """
    for _ in range(_ATTEMPTS):
        store.refresh()
        sequence = store.table_committed(_TABLE)
        stored = store.read_table(_TABLE, tenant=tenant, columns=PARTIALS.names, filter=condition)
        above = held(sequence)
        store.refresh()
        if above is not None and store.table_committed(_TABLE) == sequence:
            above = above if condition is None else above.filter(condition)
            return pa.concat_tables([stored.cast(PARTIALS), above])
    raise RetryableError("percentiles: the table was written each time it was read; try again", retry_after=1.0)


def _check(quantiles: Sequence[float], by: Sequence[str], start: dt.datetime | None, end: dt.datetime | None) -> None:
    for quantile in quantiles:
        if not 0.0 <= quantile <= 1.0:
            raise InvalidRequestError(f"percentiles: a quantile lies within 0..1, not {quantile}")
    for name in by:
        if name not in KEYS:
            raise InvalidRequestError(f"percentiles: cannot tell apart by {name!r}; use some of {', '.join(KEYS)}")
    for word, time in (("start", start), ("end", end)):
        if time is not None and time.tzinfo is None:
            raise InvalidRequestError(f"percentiles: {word} {time} has no time zone; use UTC")


def _condition(
    tenant: str | None,
    service: str | None,
    operation: str | None,
    start: dt.datetime | None,
    end: dt.datetime | None,
) -> Any:
    """The filter on partials as an expression; None when all are meant."""
    wanted = {"tenant": tenant, "service_name": service, "name": operation}
    tests = [pc.field(name) == value for name, value in wanted.items() if value is not None]
    if start is not None:
        tests.append(pc.field("minute") >= pa.scalar(start.replace(second=0, microsecond=0), _MINUTE))
    if end is not None:
        tests.append(pc.field("minute") < pa.scalar(end, _MINUTE))
    condition = None
    for test in tests:
        condition = test if condition is None else condition & test
    return condition


def _table(partials: pa.Table, quantiles: Sequence[float], by: Sequence[str]) -> pa.Table:
    errors = _error_counts(partials, by)
    merged = merge(partials, by)
    sketches = sketch_columns(merged)
    columns = {name: merged[name] for name in by}
    columns["count"] = merged["count"]
    columns["error_count"] = pa.array(errors)
    columns["error_rate"] = pa.array(errors / sketches.count)
    columns["mean_ns"] = pa.array(merged["sum_ns"].to_numpy() / sketches.count)
    columns["min_ns"], columns["max_ns"] = merged["min_ns"], merged["max_ns"]
    for quantile in quantiles:
        columns[f"p{quantile * 100:g}_ns"] = pa.array(sketches.quantile(quantile))
    return pa.table(columns)


def _error_counts(partials: pa.Table, by: Sequence[str]) -> Any:
    """Spans with status error in each group of `merge(partials, by)`, in its order."""
    groups = group_rows([partials[name] for name in by], partials.num_rows)
    errors = np.zeros(groups.size, np.int64)
    is_error = pc.call_function("equal", [partials["status_code"], pa.scalar("error")]).to_numpy()
    np.add.at(errors, groups.of_row, np.where(is_error, partials["count"].to_numpy(), 0))
    return errors
