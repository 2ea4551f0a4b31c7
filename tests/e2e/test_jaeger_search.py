"""Searches, as stock Jaeger's HTTP API answers them, against what a naive search of the sent spans finds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.jaeger.marks import REAL_JAEGER
from tests.jaeger.oracle import Condition, SentSpan, matching
from tests.jaeger.proof import Proof

pytest_plugins = ("tests.jaeger.fixtures",)
pytestmark = REAL_JAEGER

ERROR = 2
EVER = {"start": "1", "end": "4102444800000000", "limit": "1000"}  # microseconds: until the year 2100
EVER_OTLP = {"start_time_min": "1970-01-01T00:00:01Z", "start_time_max": "2100-01-01T00:00:00Z", "num_traces": "1000"}


def check(proof: Proof, condition: Condition, limit: int = 1000, /, **parameters: str) -> list[str]:
    """Ask as the UI does, and hold the ids and their order against the naive search."""
    wanted = matching(proof.spans, condition, limit)
    assert proof.client.ui_found(**{**EVER, "limit": str(limit), **parameters}) == wanted
    return wanted


def check_otlp(proof: Proof, condition: Condition, limit: int = 1000, /, **parameters: str) -> list[str]:
    """The same through `/api/v3/traces`."""
    wanted = matching(proof.spans, condition, limit)
    assert proof.client.found(**{**EVER_OTLP, "num_traces": str(limit), **parameters}) == wanted
    return wanted


@pytest.mark.parametrize("service", ["nobody", "frontend", "redis-manual", "checkout", "billing"])
def test_search_by_service(proof: Proof, service: str) -> None:
    """Scenario: services with one, some, and no traces. Guarantee: exactly their traces, newest first, in both APIs."""
    found = check(proof, lambda one: one.service == service, service=service)
    assert found == check_otlp(proof, lambda one: one.service == service, service_name=service)
    assert bool(found) is (service != "nobody")


def test_search_for_any_service(proof: Proof) -> None:
    """Scenario: the OTLP search without a service. Guarantee: every trace."""
    assert len(check_otlp(proof, lambda _: True)) == len({one.trace_id for one in proof.spans})


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("frontend", "GET /dispatch"),
        ("frontend", "driver.DriverService/FindNearest"),
        ("driver", "driver.DriverService/FindNearest"),
        ("frontend", "GET /route"),  # another service's
        ("checkout", "POST /checkout"),
    ],
)
def test_search_by_operation(proof: Proof, service: str, operation: str) -> None:
    """Scenario: operations that the service has, shares and has not. Guarantee: one span must be of both."""

    def both(one: SentSpan) -> bool:
        return (one.service, one.span.name) == (service, operation)

    found = check(proof, both, service=service, operation=operation)
    assert found == check_otlp(proof, both, service_name=service, operation_name=operation)
    assert bool(found) is (operation != "GET /route")


ATTRIBUTES = [
    ("frontend", "http.response.status_code", "400", 2),  # an integer with its own column
    ("frontend", "server.port", "8083", 40),  # another integer
    ("customer", "db.system.name", "mysql", 0),  # another service's span
    ("mysql", "db.query.text", "SELECT * FROM customer WHERE customer_id=392", 10),
    ("driver", "retry_no", "1", 40),  # of an event
    ("frontend", "request", "", 0),
    ("driver", "telemetry.sdk.language", "go", 40),  # of the resource
    ("checkout", "order.items", "3", 1),
    ("checkout", "order.items", "4", 0),
    ("checkout", "order.total", "0.25", 1),
    ("checkout", "order.express", "true", 1),
    ("checkout", "order.express", "false", 0),
    ("checkout", "order.note", "Grüße, 東京 ☕", 1),
    ("checkout", "order.empty", "", 1),
    ("checkout", "order.tags", '["new","gift"]', 1),
    ("checkout", "order.huge", "9007199254740993", 1),
    ("checkout", "cache.key", "k-17", 1),  # of an event
    ("checkout", "cache.attempt", "3", 1),
    ("billing", "link.reason", "async", 1),  # of a link
    ("billing", "exception.type", "ValueError", 1),
    ("checkout", "scope.owner", "team-checkout", 4),  # of the scope
    ("checkout", "host.cpu.count", "4", 4),  # of the resource
    ("checkout", "shop.regions", '["eu","us"]', 4),
    ("checkout", "no.such.key", "x", 0),
]


@pytest.mark.parametrize(("service", "key", "text", "count"), ATTRIBUTES)
def test_search_by_tag(proof: Proof, service: str, key: str, text: str, count: int) -> None:
    """Scenario: a tag typed into the search box. Guarantee: found in whatever place and type it was sent."""
    tags = json.dumps({key: text})
    found = check(proof, lambda one: one.service == service and one.has(key, text), service=service, tags=tags)
    assert len(found) == count


RESERVED: list[tuple[str, str, str, Condition]] = [
    ("redis-manual", "error", "true", lambda one: one.span.status.code == ERROR),
    ("billing", "error", "true", lambda one: one.span.status.code == ERROR),
    ("billing", "error", "false", lambda one: one.span.status.code != ERROR),
    ("frontend", "error", "true", lambda one: one.span.status.code == ERROR),
    ("checkout", "span.status", "ok", lambda one: one.span.status.code == 1),
    ("billing", "span.status", "error", lambda one: one.span.status.code == ERROR),
    ("frontend", "span.kind", "server", lambda one: one.span.kind == 2),
    ("billing", "span.kind", "consumer", lambda one: one.span.kind == 5),
    ("checkout", "scope.name", "shop.checkout", lambda one: one.scope.name == "shop.checkout"),
    ("checkout", "scope.version", "0.9", lambda one: one.scope.version == "0.9"),
    ("checkout", "resource.service.version", "1.2.3", lambda one: one.resource.get("service.version") == "1.2.3"),
    ("checkout", "resource.order.items", "3", lambda _: False),
]


@pytest.mark.parametrize(("service", "key", "text", "condition"), RESERVED)
def test_search_by_reserved_tag(proof: Proof, service: str, key: str, text: str, condition: Condition) -> None:
    """Scenario: tags that stand for a span's own fields. Guarantee: found by the field."""
    tags = json.dumps({key: text})
    check(proof, lambda one: one.service == service and condition(one), service=service, tags=tags)


def test_every_tag_that_the_ui_shows_finds_its_trace(proof: Proof) -> None:
    """Scenario: a user copies a tag, or a log's field, from a span into the search box. Guarantee: the trace is found.

    This holds for what Jaeger makes of a span's fields (status, scope, trace state) and for the policy's verdict too.
    """
    shop = {
        one.trace_id for one in proof.spans if one.service in {"checkout", "billing"} and one.span.name != "import row"
    }
    lost: list[tuple[str, str]] = []
    for trace_id in sorted(shop):
        trace = proof.client.ui_trace(trace_id)
        seen: set[tuple[str, str, str]] = set()
        for span in trace["spans"]:
            process = trace["processes"][span["processID"]]
            fields = [field for log in span["logs"] for field in log["fields"]]
            for tag in [*span["tags"], *fields, *process["tags"]]:
                text = tag["value"] if isinstance(tag["value"], str) else json.dumps(tag["value"])
                if tag["key"] != "row.text":
                    seen.add((process["serviceName"], tag["key"], text))
        for service, key, text in sorted(seen):
            found = proof.client.ui_found(**EVER, service=service, tags=json.dumps({key: text}))
            lost += [] if trace_id in found else [(key, text[:80])]
    assert lost == []


def test_one_span_must_have_all_tags(proof: Proof) -> None:
    """Scenario: two tags of one span, then two of different spans of a trace. Guarantee: found, then not."""
    together = json.dumps({"order.items": "3", "order.express": "true"})
    apart = json.dumps({"order.items": "3", "cache.key": "k-17"})
    assert len(check(proof, lambda one: one.has("order.items", "3"), service="checkout", tags=together)) == 1
    check(proof, lambda _: False, service="checkout", tags=apart)


def test_search_by_duration(proof: Proof) -> None:
    """Scenario: bounds that are a span's own duration to the nanosecond. Guarantee: both inclusive, in both APIs."""
    durations = sorted({one.duration for one in proof.spans if one.service == "frontend"})
    low, high = durations[len(durations) // 3], durations[len(durations) // 2]
    for minimum, maximum in ((low, high), (low, None), (None, low), (high, high), (low + 1, low + 1)):

        def within(one: SentSpan, low: int | None = minimum, high: int | None = maximum) -> bool:
            return one.service == "frontend" and (low or 0) <= one.duration <= (high or 1 << 62)

        words = {"min": minimum, "max": maximum}
        bounds = {f"{word}Duration": f"{value}ns" for word, value in words.items() if value is not None}
        bounds_otlp = {f"duration_{word}": f"{value}ns" for word, value in words.items() if value is not None}
        found = check(proof, within, service="frontend", **bounds)
        assert found == check_otlp(proof, within, service_name="frontend", **bounds_otlp)
    assert check(proof, lambda one: one.service == "mysql" and one.duration >= 300_000_000, service="mysql",
                 minDuration="300ms")  # fmt: skip


def test_search_by_time(proof: Proof) -> None:
    """Scenario: windows whose ends are a span's own start. Guarantee: both ends inclusive to the nanosecond."""
    starts = sorted(one.span.start_time_unix_nano for one in proof.spans if one.span.name == "GET /dispatch")
    for begin, end in ((starts[3], starts[9]), (starts[3] + 1, starts[9] - 1), (starts[5], starts[5])):

        def within(one: SentSpan, begin: int = begin, end: int = end) -> bool:
            return begin <= one.span.start_time_unix_nano <= end

        assert check_otlp(proof, within, start_time_min=rfc3339(begin), start_time_max=rfc3339(end))


def test_search_by_time_as_the_ui_asks(proof: Proof) -> None:
    """Scenario: the UI's microseconds. Guarantee: the spans in the window, whole traces."""
    starts = sorted(one.span.start_time_unix_nano // 1000 for one in proof.spans if one.span.name == "GET /dispatch")
    begin, end = starts[3], starts[9]

    def within(one: SentSpan) -> bool:
        return one.service == "frontend" and begin * 1000 <= one.span.start_time_unix_nano <= end * 1000

    found = check(proof, within, service="frontend", start=str(begin), end=str(end))
    for trace in proof.client.json("/api/traces", service="frontend", start=str(begin), end=str(end), raw="true")[
        "data"
    ]:
        assert trace["traceID"] in found
        assert len(trace["spans"]) == sum(one.trace_id == trace["traceID"] for one in proof.spans)


def test_the_default_window_is_the_last_hours(proof: Proof) -> None:
    """Scenario: no window, as `curl` would ask. Guarantee: what was sent just now is found."""
    found = proof.client.ui_found(service="billing")
    assert found == matching(proof.spans, lambda one: one.service == "billing")


@pytest.mark.parametrize("limit", [1, 5, 41, 42, 43])
def test_the_limit_keeps_the_newest(proof: Proof, limit: int) -> None:
    """Scenario: fewer and more traces asked for than there are. Guarantee: that many, the newest."""
    found = check(proof, lambda one: one.service == "frontend", limit, service="frontend")
    assert found == check_otlp(proof, lambda one: one.service == "frontend", limit, service_name="frontend")
    assert len(found) == min(limit, 42)


def test_all_conditions_at_once(proof: Proof) -> None:
    """Scenario: service, operation, tag, duration and time together. Guarantee: one span satisfies them all."""

    def all_of_them(one: SentSpan) -> bool:
        named = (one.service, one.span.name) == ("frontend", "HTTP GET")
        return named and one.has("server.port", "8083") and one.duration >= 50_000_000

    parameters = {
        "service": "frontend",
        "operation": "HTTP GET",
        "tags": '{"server.port":"8083"}',
        "minDuration": "50ms",
    }
    assert check(proof, all_of_them, 7, **parameters)


def rfc3339(unix_nano: int) -> str:
    """A time with all its digits, in UTC."""
    seconds, nanos = divmod(unix_nano, 1_000_000_000)
    moment = datetime.fromtimestamp(0, UTC) + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"
