"""Calls of the storage API that a newer Jaeger's search page makes, held against what stock Jaeger answers.

Jaeger 1.76 searches by whole traces only, so that summaries and ids are asked for over gRPC, as a newer one does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from spanward.extension.jaeger import storage_pb2 as storage
from spanward.extension.jaeger.storage_pb2_grpc import TraceReaderStub
from tests.jaeger.marks import REAL_JAEGER
from tests.jaeger.oracle import SentSpan, by_trace, matching
from tests.jaeger.proof import Proof

pytest_plugins = ("tests.jaeger.fixtures",)
pytestmark = REAL_JAEGER

ERROR = 2
QUERIES: list[dict[str, Any]] = [
    {"service_name": "frontend", "search_depth": 1000},
    {"service_name": "frontend", "search_depth": 3},
    {"service_name": "billing", "search_depth": 20},
    {"operation_name": "SQL SELECT", "search_depth": 1000},
    {"service_name": "nobody", "search_depth": 20},
    {"search_depth": 1000},
]


@pytest.fixture
def reader(proof: Proof) -> Iterator[Any]:
    """A stub of the sidecar's storage API."""
    with grpc.insecure_channel(proof.sidecar.jaeger) as channel:
        yield TraceReaderStub(channel)


def wanted(proof: Proof, query: dict[str, Any]) -> list[str]:
    """The ids that a naive search finds."""

    def holds(one: SentSpan) -> bool:
        service, operation = query.get("service_name"), query.get("operation_name")
        return service in {None, one.service} and operation in {None, one.span.name}

    return matching(proof.spans, holds, query["search_depth"])


def asked_of_jaeger(proof: Proof, query: dict[str, Any]) -> list[str]:
    """The ids that Jaeger finds for the same query."""
    conditions = {name: str(query[name]) for name in ("service_name", "operation_name") if name in query}
    return proof.client.found(
        start_time_min="1970-01-01T00:00:01Z",
        start_time_max="2100-01-01T00:00:00Z",
        num_traces=str(query["search_depth"]),
        **conditions,
    )


@pytest.mark.parametrize("query", QUERIES, ids=str)
def test_all_searches_agree(proof: Proof, reader: Any, query: dict[str, Any]) -> None:
    """Scenario: one query as ids, as summaries and through Jaeger. Guarantee: the same traces in the same order."""
    parameters = storage.TraceQueryParameters(**query)
    ids = reader.FindTraceIDs(storage.FindTraceIDsRequest(query=parameters), timeout=30).trace_ids
    answers = list(reader.FindTraceSummaries(storage.FindTraceSummariesRequest(query=parameters), timeout=30))
    summaries = [summary for answer in answers for summary in answer.summaries]
    expected = wanted(proof, query)
    assert [one.trace_id.hex() for one in ids] == expected
    assert [one.trace_id.hex() for one in summaries] == expected
    assert asked_of_jaeger(proof, query) == expected


def test_a_summary_says_what_the_trace_says(proof: Proof, reader: Any) -> None:
    """Scenario: every trace in one line. Guarantee: root, times and counts are those of the spans that were sent."""
    request = storage.FindTraceSummariesRequest(query=storage.TraceQueryParameters(search_depth=1000))
    traces = by_trace(proof.spans)
    seen = set()
    for answer in reader.FindTraceSummaries(request, timeout=30):
        for summary in answer.summaries:
            seen.add(summary.trace_id.hex())
            check_summary(summary, traces[summary.trace_id.hex()])
    assert seen == set(traces)


def check_summary(summary: Any, spans: list[SentSpan]) -> None:
    """Hold one summary against the spans of its trace."""
    ids = {one.span.span_id for one in spans}
    orphans = [one for one in spans if one.span.parent_span_id and one.span.parent_span_id not in ids]
    roots = [one for one in spans if not one.span.parent_span_id] or orphans
    assert (summary.root_service_name, summary.root_operation_name) in {(one.service, one.span.name) for one in roots}
    assert summary.min_start_time_unix_nano == min(one.span.start_time_unix_nano for one in spans)
    assert summary.max_end_time_unix_nano == max(one.span.end_time_unix_nano for one in spans)
    assert (summary.span_count, summary.orphan_span_count) == (len(spans), len(orphans))
    errors = Counter(one.service for one in spans if one.span.status.code == ERROR)
    assert summary.error_span_count == errors.total()
    assert [(part.name, part.span_count, part.error_span_count) for part in summary.services] == [
        (name, count, errors[name]) for name, count in sorted(Counter(one.service for one in spans).items())
    ]


def test_chunks_are_what_jaeger_joins(proof: Proof, reader: Any) -> None:
    """Scenario: every trace in one stream. Guarantee: no empty message, one trace each, in a row, below 4 MiB."""
    ids = list(by_trace(proof.spans))
    request = storage.GetTracesRequest(query=[storage.GetTraceParams(trace_id=bytes.fromhex(one)) for one in ids])
    order: list[str] = []
    for chunk in reader.GetTraces(request, timeout=60):
        assert chunk.ByteSize() < 4 << 20
        spans = [span for part in chunk.resource_spans for scope in part.scope_spans for span in scope.spans]
        (trace_id,) = {span.trace_id.hex() for span in spans}
        order += [] if order[-1:] == [trace_id] else [trace_id]
    assert order == ids
