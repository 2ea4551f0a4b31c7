"""What a reader shows as a tag finds its trace, also where it is no attribute."""

from __future__ import annotations

from typing import Any

import pytest

from spanward.processor.policy.labels import Classification
from spanward.processor.policy.span import EventRecord, ScopeRecord, SpanRecord, Verdict
from spanward.store._matching import Wanted
from spanward.store._shown_search import SHOWN_KEYS
from spanward.store.query import TraceQuery, TraceReader
from tests.unit.reading.support import MemoryStore, span


def find(spans: list[SpanRecord], key: str, value: Any) -> list[int]:
    """The numbers of the traces that a search for one attribute finds."""
    found = TraceReader(MemoryStore(default=spans)).trace_ids("default", TraceQuery(attributes={key: value}))
    return sorted(int(one.trace_id, 16) for one in found)


FIELDS: list[tuple[str, str, dict[str, Any]]] = [
    ("otel.scope.name", "lib", {"scope": ScopeRecord("lib", "1")}),
    ("otel.scope.version", "1", {"scope": ScopeRecord("lib", "1")}),
    ("otel.status_code", "ERROR", {"status_code": 2}),
    ("otel.status_code", "OK", {"status_code": 1}),
    ("otel.status_description", "refused", {"status_code": 2, "status_message": "refused"}),
    ("w3c.tracestate", "a=b", {"trace_state": "a=b"}),
    ("event", "retry", {"events": [EventRecord(1, "start"), EventRecord(2, "retry")]}),
]


@pytest.mark.parametrize(("key", "text", "fields"), FIELDS)
def test_a_field_is_found_under_the_tag_that_shows_it(key: str, text: str, fields: dict[str, Any]) -> None:
    """Scenario: a field, an attribute of the same key, and neither. Guarantee: both are found, the third is not."""
    stored = [span(1, 1), span(2, 1, **fields), span(3, 1, attributes={key: text}), span(4, 1)]
    assert find(stored, key, text) == [2, 3]
    assert find(stored, key, text + "x") == []


def test_an_absent_field_is_not_an_empty_one() -> None:
    """Scenario: an empty text is searched for. Guarantee: spans without the field are not found."""
    for key in ("otel.status_description", "w3c.tracestate", "otel.scope.name", "event"):
        assert find([span(1, 1)], key, "") == [], key


def test_only_a_label_in_force_counts() -> None:
    """Scenario: a span claims less than its label. Guarantee: found by the label, not by the claim."""
    verdict = Verdict(classification=Classification.CONFIDENTIAL, pii=("card", "email"))
    claims = {"spanward.classification": "public", "spanward.pii": "none"}
    stored = [span(1, 1, attributes=claims, verdict=verdict), span(2, 1)]
    assert find(stored, "spanward.classification", "confidential") == [1]
    assert find(stored, "spanward.classification", "public") == []
    assert find(stored, "spanward.classification", "internal") == [2]
    assert find(stored, "spanward.retention", "30d") == [1, 2]
    assert find(stored, "spanward.pii", "none") == []


@pytest.mark.parametrize("value", ["email", "card", '["card","email"]', '[ "card", "email" ]', ["card", "email"]])
def test_a_list_is_found_by_its_items_and_whole(value: Any) -> None:
    """Scenario: personal data of two types. Guarantee: found by each and by both as shown."""
    stored = [span(1, 1, verdict=Verdict(pii=("card", "email"))), span(2, 1)]
    assert find(stored, "spanward.pii", value) == [1]
    assert find(stored, "spanward.pii", "mail") == []
    assert find(stored, "spanward.quality.violations", value) == []


def test_the_score_of_the_policy_is_found() -> None:
    """Scenario: scores by the policy and by the program. Guarantee: both are found under the same key."""
    stored = [
        span(1, 1, verdict=Verdict(quality_score=0.75)),
        span(2, 1, attributes={"spanward.quality.score": 0.75}),
        span(3, 1),
    ]
    assert find(stored, "spanward.quality.score", "0.75") == [1, 2]
    assert find(stored, "spanward.quality.score", "1") == [2, 3]


@pytest.mark.parametrize("key", sorted(SHOWN_KEYS))
@pytest.mark.parametrize("value", ["", "x", 1, 0.5, True, None, b"x", [], ["x"], {"x": 1}])
def test_any_value_may_be_asked_for(key: str, value: Any) -> None:
    """Scenario: a value of a type that the field never has. Guarantee: an answer, not an error."""
    find([span(1, 1, events=[EventRecord(1, "e")]), span(2, 1)], key, value)


SPELLINGS: list[tuple[str, Any, bool]] = [
    ('["a", 1]', ["a", 1], True),
    ('["a\\u003cb","x \\u0026 y"]', ["a<b", "x & y"], True),
    ("[0.5,2]", [0.5, 2.0], True),
    ('{"b":1,"a":[true]}', {"a": [True], "b": 1}, True),
    ('["eA=="]', [b"x"], True),
    ('{"@k":null}', {"@k": None}, True),
    ("[1]", [True], False),
    ('["1"]', [1], False),
    ('["a"', ["a"], False),
    ("[" * 100_000, ["["], False),
    ('["a"]', '["a"]', True),
    ('["a", "b"]', '["a","b"]', False),  # a string is itself, however it looks
]


@pytest.mark.parametrize(("text", "stored", "equal"), SPELLINGS)
def test_an_array_is_found_in_any_spelling(text: str, stored: Any, equal: bool) -> None:
    """Scenario: an array or a map as some reader writes it. Guarantee: found when it is the same, never otherwise."""
    assert Wanted(text).equals(stored) is equal
