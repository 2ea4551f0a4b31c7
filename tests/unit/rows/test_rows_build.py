"""Spans become rows: every column, every null, and what is refused."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from spanward.processor.policy.labels import PERMANENT, WEEK, Classification
from spanward.processor.policy.span import (
    EventRecord,
    LinkRecord,
    ResourceRecord,
    ScopeRecord,
    SpanRecord,
    Verdict,
)
from spanward.store.rows import build_rows
from spanward.store.schema import SPANS

RECEIVED = 1_767_225_600_000_001_500  # 2026-01-01T00:00:00.000001500Z


def span(**changes: Any) -> SpanRecord:
    values: dict[str, Any] = {
        "trace_id": "ab" * 16,
        "span_id": "cd" * 8,
        "name": "op",
        "start_unix_nano": 5_000,
        "end_unix_nano": 9_000,
        "resource": ResourceRecord({"service.name": "shop"}),
        "scope": ScopeRecord(),
        "verdict": Verdict(),
    }
    return SpanRecord(**{**values, **changes})


def row(record: SpanRecord) -> dict[str, Any]:
    rows = build_rows([record], tenant="acme", received_at_ns=RECEIVED)
    rows.validate(full=True)
    (found,) = rows.to_pylist(maps_as_pydicts="strict")
    return dict(found)


def test_ungoverned_span_is_refused() -> None:
    """A record without a verdict: nothing that the policy has not seen becomes a row."""
    with pytest.raises(ValueError, match="cdcdcdcdcdcdcdcd has no verdict"):
        build_rows([span(verdict=None)], tenant="acme", received_at_ns=RECEIVED)


def test_span_that_a_rule_dropped_makes_no_row() -> None:
    """One dropped span between two kept ones: the two are stored, in order."""
    records = [span(name="a"), span(name="b", verdict=Verdict(dropped=True)), span(name="c")]
    rows = build_rows(records, tenant="acme", received_at_ns=RECEIVED)
    assert rows.column("name").to_pylist() == ["a", "c"]


def test_no_spans_make_an_empty_batch_of_the_schema() -> None:
    """Nothing to keep: the batch is empty and can be concatenated with any other."""
    rows = build_rows([], tenant="acme", received_at_ns=RECEIVED)
    assert rows.num_rows == 0
    assert rows.schema.equals(SPANS)


def test_least_span_has_nulls_only_where_the_schema_says() -> None:
    """A span with nothing optional: what is optional is null, lists and maps are empty, the rest has its value."""
    found = row(span(resource=ResourceRecord()))
    nulls = {name for name, value in found.items() if value is None}
    promoted = {name for name in SPANS.names if SPANS.field(name).nullable} - {"expires_on"}
    lists = {"pii", "subjects", "quality_violations", "events", "links"}
    maps = {f"attributes_{kind}" for kind in ("str", "int", "double", "bool", "json")}
    assert nulls == promoted - lists - maps
    assert all(found[name] == [] for name in lists)
    assert all(not found[name] for name in maps)
    assert found["resource"] == "{}"


def test_identity_time_and_status() -> None:
    """The plain fields: enums as words, unknown numbers as digits, times in both units, a clock that went back."""
    found = row(
        span(
            parent_span_id="ef" * 8,
            trace_state="a=b",
            flags=257,
            kind=2,
            status_code=2,
            status_message="boom",
            start_unix_nano=9_223_372_036_854_775_807,
            end_unix_nano=0,
            dropped_attributes_count=1,
            dropped_events_count=2,
            dropped_links_count=4_294_967_295,
        )
    )
    assert found["tenant"] == "acme"
    assert found["received_at"] == dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)
    assert (found["parent_span_id"], found["trace_state"], found["flags"]) == ("ef" * 8, "a=b", 257)
    assert (found["kind"], found["status_code"], found["status_message"]) == ("server", "error", "boom")
    assert found["start_unix_nano"] == 9_223_372_036_854_775_807
    assert found["duration_ns"] == -9_223_372_036_854_775_807
    assert found["dropped_links_count"] == 4_294_967_295
    assert row(span(kind=-3, status_code=99))["kind"] == "-3"
    assert row(span(kind=-3, status_code=99))["status_code"] == "99"


@pytest.mark.parametrize(
    ("verdict", "expires", "retention", "classification"),
    [
        (Verdict(), dt.date(2026, 1, 31), "30d", "internal"),
        (Verdict(Classification.RESTRICTED, WEEK), dt.date(2026, 1, 8), "7d", "restricted"),
        (Verdict(Classification.PUBLIC, PERMANENT), None, "permanent", "public"),
    ],
)
def test_labels_decide_the_partition(
    verdict: Verdict, expires: dt.date | None, retention: str, classification: str
) -> None:
    """The verdict's labels become the partition and the day of expiry, counted from the UTC day of receipt."""
    found = row(span(verdict=verdict))
    assert found["date"] == dt.date(2026, 1, 1)
    assert (found["expires_on"], found["retention"], found["classification"]) == (expires, retention, classification)


def test_findings_of_the_policy_are_columns() -> None:
    """What the policy found stands beside the span."""
    verdict = Verdict(pii=("card", "email"), subjects=("k1:aa",), quality_score=0.5, quality_violations=("memory",))
    found = row(span(verdict=verdict))
    assert (found["pii"], found["subjects"]) == (["card", "email"], ["k1:aa"])
    assert (found["quality_score"], found["quality_violations"]) == (0.5, ["memory"])


class Word(str):
    """A string that is not exactly a str."""

    __slots__ = ()


class Number(int):
    """An int that is not exactly an int."""


class Real(float):
    """A float that is not exactly a float."""


@pytest.mark.parametrize(
    ("key", "value", "column", "stored"),
    [
        ("http.route", "/a", "http_route", "/a"),
        ("http.route", 7, "attributes_int", {"http.route": 7}),
        ("http.response.status_code", 200, "http_response_status_code", 200),
        ("http.response.status_code", "200", "attributes_str", {"http.response.status_code": "200"}),
        ("http.response.status_code", True, "attributes_bool", {"http.response.status_code": True}),
        ("spanward.memory_mb", 1.5, "spanward_memory_mb", 1.5),
        ("spanward.memory_mb", 2, "attributes_int", {"spanward.memory_mb": 2}),
        ("x", "", "attributes_str", {"x": ""}),
        ("x", -(2**63), "attributes_int", {"x": -(2**63)}),
        ("x", 2**63, "attributes_str", {"x": "9223372036854775808"}),
        ("x", float("inf"), "attributes_double", {"x": float("inf")}),
        ("x", [1, "a"], "attributes_json", {"x": '[1,"a"]'}),
        ("x", {"a": None}, "attributes_json", {"x": '{"a":null}'}),
        ("x", b"\x00", "attributes_json", {"x": '{"@bytes":"AA=="}'}),
        ("x", None, "attributes_json", {"x": "null"}),
        ("x", Word("w"), "attributes_str", {"x": "w"}),
        ("x", Number(3), "attributes_int", {"x": 3}),
        ("x", Number(2**70), "attributes_str", {"x": str(2**70)}),
        ("x", Real(0.5), "attributes_double", {"x": 0.5}),
    ],
)
def test_attribute_goes_to_the_column_of_its_type(key: str, value: Any, column: str, stored: object) -> None:
    """Each kind of value has one place: the promoted column if the type fits, else the map of its type."""
    assert row(span(attributes={key: value}))[column] == stored


def test_lone_surrogate_becomes_the_replacement_character() -> None:
    """Text that has no UTF-8 form in any place of a span: stored with U+FFFD, a pair as its character."""
    bad = "a\ud800b"
    found = row(
        span(
            name=bad,
            attributes={"http.route": bad, bad: bad, "pair": "\ud83d\ude00", "list": [bad]},
            events=[EventRecord(1, bad, {"k": bad})],
            resource=ResourceRecord({"service.name": bad}),
            scope=ScopeRecord(bad),
        )
    )
    good = "a\ufffdb"
    assert (found["name"], found["http_route"], found["service_name"], found["scope_name"]) == (good,) * 4
    assert found["attributes_str"] == {good: good, "pair": "\U0001f600"}
    assert found["attributes_json"] == {"list": f'["{good}"]'}
    assert found["events"][0]["attributes"] == f'{{"k":"{good}"}}'


def test_events_and_links_keep_their_fields_and_their_span() -> None:
    """Three spans, the middle one without events: each list belongs to its span."""
    event = EventRecord(7, "", {"a": 1}, 2)
    link = LinkRecord("01" * 16, "02" * 8, "s=t", {"b": 1.0}, 3, 4)
    records = [span(events=[event, EventRecord(8, "e")]), span(), span(links=[link])]
    rows = build_rows(records, tenant="acme", received_at_ns=RECEIVED).to_pylist()
    assert rows[0]["events"] == [
        {"time_unix_nano": 7, "name": "", "attributes": '{"a":1}', "dropped_attributes_count": 2},
        {"time_unix_nano": 8, "name": "e", "attributes": "{}", "dropped_attributes_count": 0},
    ]
    assert (rows[1]["events"], rows[2]["events"]) == ([], [])
    assert rows[2]["links"] == [
        {
            "trace_id": "01" * 16,
            "span_id": "02" * 8,
            "trace_state": "s=t",
            "attributes": '{"b":1.0}',
            "dropped_attributes_count": 3,
            "flags": 4,
        }
    ]


def test_resource_and_scope_are_written_once() -> None:
    """Spans that share a resource, and an equal resource of another request part: one dictionary entry."""
    shared = ResourceRecord({"service.name": "shop"}, 1, "https://schema", [{"type": "host", "id_keys": ["host.id"]}])
    scope = ScopeRecord("lib", "1.0", {"a": True}, 2, "https://scope")
    records = [span(resource=shared, scope=scope), span(resource=shared), span()]
    rows = build_rows(records, tenant="acme", received_at_ns=RECEIVED)
    assert rows.column("resource").dictionary.to_pylist() == ['{"service.name":"shop"}']
    first, _, last = rows.to_pylist()
    assert (first["resource_schema_url"], first["resource_dropped_attributes_count"]) == ("https://schema", 1)
    assert first["resource_entity_refs"] == '[{"type":"host","id_keys":["host.id"]}]'
    assert (first["scope_name"], first["scope_version"], first["scope_attributes"]) == ("lib", "1.0", '{"a":true}')
    assert (first["scope_dropped_attributes_count"], first["scope_schema_url"]) == (2, "https://scope")
    assert (last["resource_schema_url"], last["scope_name"], last["service_name"]) == (None, None, "shop")


def test_service_name_of_another_type_is_no_service_name() -> None:
    """A number as service.name: it stays in the resource, the column is null."""
    found = row(span(resource=ResourceRecord({"service.name": 5})))
    assert (found["service_name"], found["resource"]) == (None, '{"service.name":5}')
