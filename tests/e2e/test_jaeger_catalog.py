"""Services, operations and the dependency graph, as stock Jaeger's HTTP API answers them."""

from __future__ import annotations

import time
from collections.abc import Iterable

import pytest

from tests.jaeger.marks import REAL_JAEGER
from tests.jaeger.oracle import KINDS, SentSpan, calls
from tests.jaeger.proof import Proof

pytest_plugins = ("tests.jaeger.fixtures",)
pytestmark = REAL_JAEGER

SERVICES = (
    "billing", "checkout", "customer", "driver", "frontend", "mysql", "redis-manual", "route",
)  # fmt: skip
_YEAR_MS = 366 * 24 * 3600 * 1000


def operations(spans: Iterable[SentSpan], service: str, kind: str | None = None) -> list[tuple[str, str]]:
    """The distinct names and kinds of a service's spans."""
    found = {(one.span.name, KINDS[one.span.kind]) for one in spans if one.service == service}
    return sorted((name, word) for name, word in found if kind in {None, word})


def test_services(proof: Proof) -> None:
    """Scenario: both APIs. Guarantee: the services that sent something, no other, sorted."""
    assert sorted({one.service for one in proof.spans}) == list(SERVICES)
    assert proof.client.json("/api/v3/services")["services"] == list(SERVICES)
    assert proof.client.json("/api/services")["data"] == list(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_operations_of_a_service(proof: Proof, service: str) -> None:
    """Scenario: all three ways to ask. Guarantee: every name with every kind it was sent with; names once."""
    wanted = operations(proof.spans, service)
    for answer in (
        proof.client.json("/api/v3/operations", service=service)["operations"],
        proof.client.json("/api/operations", service=service)["data"],
    ):
        assert [(one["name"], one.get("spanKind", "")) for one in answer] == wanted
    names = proof.client.json(f"/api/services/{service}/operations")["data"]
    assert sorted(names) == sorted({name for name, _ in wanted})  # Jaeger answers these in no order


@pytest.mark.parametrize("kind", [word for word in KINDS if word])
def test_operations_of_a_kind(proof: Proof, kind: str) -> None:
    """Scenario: a kind is asked for, also one that the service has not. Guarantee: that kind's operations only."""
    for service in ("checkout", "billing", "frontend"):
        answer = proof.client.json("/api/v3/operations", service=service, span_kind=kind)["operations"]
        found = [(one["name"], one["spanKind"]) for one in answer]
        assert found == operations(proof.spans, service, kind)


def test_an_unknown_service_has_no_operations(proof: Proof) -> None:
    """Scenario: a name nobody sent. Guarantee: an empty answer, not an error."""
    assert proof.client.json("/api/v3/operations", service="nobody")["operations"] == []
    assert not proof.client.json("/api/services/nobody/operations")["data"]


def test_dependencies(proof: Proof) -> None:
    """Scenario: the graph of all that was sent. Guarantee: every call between two services, counted right."""
    now_ms = int(time.time() * 1000)
    end = max(now_ms, max(one.span.start_time_unix_nano for one in proof.spans) // 1_000_000) + 1000
    begin = min(one.span.start_time_unix_nano for one in proof.spans) // 1_000_000 - 1000
    assert edges(proof, begin, end) == calls(proof.spans)
    assert edges(proof, begin, end)["checkout", "billing"] == 1
    assert edges(proof, begin - _YEAR_MS, begin) == {}


def test_dependencies_of_a_window(proof: Proof) -> None:
    """Scenario: a window that ends within the recording. Guarantee: the calls that started in it, no other."""
    recorded = [one for one in proof.spans if one.service not in {"checkout", "billing"}]
    starts = sorted(one.span.start_time_unix_nano // 1_000_000 for one in recorded)
    begin, end = starts[0] - 1, starts[len(starts) // 2]
    services = {(one.span.trace_id, one.span.span_id): one.service for one in recorded}
    counted: dict[tuple[str, str], int] = {}
    for one in recorded:
        parent = services.get((one.span.trace_id, one.span.parent_span_id))
        if one.span.start_time_unix_nano <= end * 1_000_000 and parent and parent != one.service:
            counted[parent, one.service] = counted.get((parent, one.service), 0) + 1
    assert edges(proof, begin, end) == counted
    assert sum(counted.values()) < sum(calls(recorded).values())


def edges(proof: Proof, begin_ms: int, end_ms: int) -> dict[tuple[str, str], int]:
    """The graph that Jaeger shows for a window."""
    answer = proof.client.json("/api/dependencies", endTs=str(end_ms), lookback=str(end_ms - begin_ms))
    return {(edge["parent"], edge["child"]): edge["callCount"] for edge in answer["data"]}
