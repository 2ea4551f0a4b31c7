"""Which service calls which: child spans joined with their parents, inside Arrow."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from spanward.store._trace_query import Dependency

EDGE_COLUMNS: Final = ("trace_id", "span_id", "parent_span_id", "service_name")

_KEYS: Final = ["trace_id", "span_id"]


def dependencies(children: pa.Table, parents: pa.Table) -> list[Dependency]:
    """Count the spans of one service whose parent is of another, by both names in order.

    Args:
        children: the calls to count.
        parents: where their parents are looked up. Of spans that share an id each service counts, once.
    """
    called = children.filter(pc.field("parent_span_id").is_valid() & pc.field("service_name").is_valid())
    called = called.select(["trace_id", "parent_span_id", "service_name"]).rename_columns([*_KEYS, "child"])
    callers = parents.select([*_KEYS, "service_name"]).rename_columns([*_KEYS, "parent"])
    callers = callers.group_by([*_KEYS, "parent"]).aggregate([])  # distinct
    calls = called.join(callers, keys=_KEYS, join_type="inner").filter(pc.field("parent") != pc.field("child"))
    counted = calls.group_by(["parent", "child"]).aggregate([([], "count_all")])
    rows = zip(*(counted.column(name).to_pylist() for name in ("parent", "child", "count_all")), strict=True)
    return [Dependency(*row) for row in sorted(rows)]


def unresolved_traces(spans: pa.Table) -> list[str]:
    """Ids of the traces with a span whose parent is not among `spans`."""
    children = spans.filter(pc.field("parent_span_id").is_valid()).select(["trace_id", "parent_span_id"])
    lost = children.rename_columns(_KEYS).join(spans.select(_KEYS), keys=_KEYS, join_type="left anti")
    return sorted(lost.column("trace_id").unique().to_pylist())
