"""Batches: labels, claims, verdicts, what is shared, and what happens when something fails."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import UNGOVERNED, Finding, Governor
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.labels import PERMANENT, WEEK, YEAR, Classification, Retention
from spanward.processor.policy.privacy import walk
from spanward.processor.policy.privacy.entities import WITHHELD
from spanward.processor.policy.privacy.tokens import digest
from spanward.processor.policy.span import (
    Attributes,
    EventRecord,
    LinkRecord,
    ResourceRecord,
    ScopeRecord,
    SpanRecord,
    Verdict,
)

KEY = HashKey("k1", b"0123456789abcdef0123456789abcdef")


def span_of(
    attributes: Attributes | None = None, *, name: str = "op", resource: Attributes | None = None
) -> SpanRecord:
    shared = ResourceRecord(resource if resource is not None else {"service.name": "shop"})
    return SpanRecord("a" * 32, "b" * 16, name, 1, 2, shared, ScopeRecord("lib", "1"), attributes=attributes or {})


def verdict_of(span: SpanRecord, policy: dict[str, Any] | None = None) -> Verdict:
    Governor(Policy.model_validate(policy or {}), [KEY]).govern([span])
    assert span.verdict is not None
    return span.verdict


def test_a_span_that_cannot_be_checked_loses_every_text(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug over two of four spans: both keep ids and times only, marked, counted, logged once without their data."""
    real = walk.redact_span

    def sometimes(span: SpanRecord, redactor: Any) -> None:
        real(span, redactor)
        if span.name == "bad":
            raise RuntimeError("boom alice@example.com")

    monkeypatch.setattr("spanward.processor.policy.governor.redact_span", sometimes)
    spans = [span_of({"e": "a@b.co"}, name=name) for name in ("good", "bad", "bad", "fine")]
    spans[1].events = [EventRecord(5, "ev a", {"x": "secret"})]
    spans[1].links = [LinkRecord("c" * 32, "d" * 16, "s=1", {"y": 1})]
    spans[1].status_message = spans[1].trace_state = "text"
    governor = Governor(Policy.default(), [KEY])
    with caplog.at_level(logging.ERROR):
        governor.govern(spans)

    bad = spans[1]
    assert (bad.name, bad.attributes, bad.status_message, bad.trace_state) == (WITHHELD, {}, "", "")
    assert bad.dropped_attributes_count == 1
    assert bad.events == [EventRecord(5, WITHHELD, {}, 1)]
    assert bad.links == [LinkRecord("c" * 32, "d" * 16, "", {}, 1)]
    assert bad.verdict is not None
    assert bad.verdict.quality_violations == (UNGOVERNED,)
    assert (bad.verdict.classification, bad.verdict.quality_score) == (Classification.RESTRICTED, 0.0)
    assert bad.verdict.pii == ("unchecked",)
    assert governor.failures == 2
    assert [span.verdict.pii for span in (spans[0], spans[3]) if span.verdict] == [("email",), ("email",)]
    assert len(caplog.records) == 1
    assert "alice" not in caplog.text


def test_a_resource_that_cannot_be_checked_is_withheld_and_its_spans_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug over a resource and scope: both lose every text, once; the span is governed and says what happened."""
    monkeypatch.setattr("spanward.processor.policy.governor.redact_shared", broken_shared)
    span = span_of({"e": "a@b.co"})
    span.resource.entity_refs = [{"type": "x"}]

    verdict = verdict_of(span)

    assert span.resource.attributes == {}
    assert span.resource.dropped_attributes_count == 1
    assert span.resource.entity_refs == []
    assert (span.scope.name, span.scope.version) == ("", "")
    assert verdict.pii == ("email", "unchecked")


def broken_shared(_shared: object, _redactor: object) -> None:
    raise RuntimeError("boom")


def test_everything_that_holds_text_is_looked_at() -> None:
    """An email in every place a span, its resource and its scope have for text: none is left."""
    mail = "alice@example.com"
    span = SpanRecord(
        "a" * 32,
        "b" * 16,
        mail,
        1,
        2,
        ResourceRecord({"r": mail}, schema_url=mail, entity_refs=[{"type": mail, "id_keys": [mail]}]),
        ScopeRecord(mail, mail, {"s": mail}, schema_url=mail),
        trace_state=f"v={mail}",
        status_message=mail,
        attributes={mail: mail, "n": [{"k": [mail, mail.encode()]}], "j": f'{{"to":"{mail}"}}'},
        events=[EventRecord(1, mail, {"e": mail})],
        links=[LinkRecord("c" * 32, "d" * 16, f"v={mail}", {"l": mail})],
    )

    verdict = verdict_of(span)

    assert "alice" not in repr(span)
    assert verdict.pii == ("email",)
    assert verdict.subjects == (digest(KEY, mail),)


def test_a_version_in_the_scope_is_no_address() -> None:
    """Scope version 1.2.3.4: kept; a secret there is replaced, for a version is no attribute that could be dropped."""
    span = span_of()
    span.scope.version = "1.2.3.4"
    other = span_of()
    other.scope.version = "AKIAIOSFODNN7EXAMPLE"
    verdict_of(span)
    verdict_of(other)

    assert span.scope.version == "1.2.3.4"
    assert other.scope.version == "<api_key>"


def test_shared_resources_are_governed_once_for_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads with batches over one resource: it is walked once, and every span carries what it holds."""
    calls: list[object] = []
    real = walk.redact_shared

    def counted(shared: ResourceRecord | ScopeRecord, redactor: Any) -> None:
        calls.append(shared)
        real(shared, redactor)

    monkeypatch.setattr("spanward.processor.policy.governor.redact_shared", counted)
    first = span_of({"e": "a@b.co"}, resource={"owner": "owner@example.com"})
    batches = [
        [SpanRecord("a" * 32, "b" * 16, f"op{n}", 1, 2, first.resource, first.scope, attributes={"e": f"x{n}@b.co"})]
        for n in range(8)
    ]
    governor = Governor(Policy.default(), [KEY])
    threads = [threading.Thread(target=governor.govern, args=(batch,)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert calls == [first.resource, first.scope]
    assert all(digest(KEY, "owner@example.com") in b[0].verdict.subjects for b in batches if b[0].verdict)
    assert governor.counts == {("email", "hash"): 9}
    assert governor.failures == 0


def test_unlabelled_spans_are_internal_for_thirty_days() -> None:
    """No rule, no claim: the defaults of the product."""
    verdict = verdict_of(span_of())

    assert (verdict.classification, verdict.retention) == (Classification.INTERNAL, Retention(30))
    assert (verdict.quality_score, verdict.quality_violations, verdict.dropped) == (1.0, (), False)


@pytest.mark.parametrize(
    ("attributes", "resource", "classification", "retention", "violations"),
    [
        ({"spanward.classification": "public"}, {}, "public", "30d", ()),
        (
            {"spanward.classification": "Restricted ", "spanward.retention": "permanent"},
            {},
            "restricted",
            "permanent",
            (),
        ),
        ({"spanward.retention": 7}, {}, "internal", "7d", ()),
        ({}, {"spanward.classification": "confidential", "spanward.retention": "365d"}, "confidential", "365d", ()),
        ({"spanward.retention": "7d"}, {"spanward.retention": "365d"}, "internal", "7d", ()),
        ({"spanward.classification": "top-secret"}, {}, "internal", "30d", ("claims",)),
        ({"spanward.retention": "x"}, {"spanward.retention": "7d"}, "internal", "7d", ("claims",)),
        ({"spanward.classification": 3}, {}, "internal", "30d", ("claims",)),
        ({"spanward.retention": "for ever"}, {}, "internal", "30d", ("claims",)),
        ({"spanward.retention": True}, {}, "internal", "30d", ("claims",)),
        ({"spanward.retention": 0}, {}, "internal", "30d", ("claims",)),
        ({"spanward.contains_pii": "yes"}, {}, "internal", "30d", ("claims",)),
        ({"spanward.classification": "public", "spanward.retention": "x"}, {}, "public", "30d", ("claims",)),
    ],
)
def test_claims_label_where_no_rule_does(
    attributes: Attributes,
    resource: Attributes,
    classification: str,
    retention: str,
    violations: tuple[str, ...],
) -> None:
    """Claims on the span, on the resource, on both, and claims that cannot be read."""
    verdict = verdict_of(span_of(attributes, resource=resource))

    assert (verdict.classification.value, str(verdict.retention)) == (classification, retention)
    assert verdict.quality_violations == violations


@pytest.mark.parametrize(
    ("claim", "classification", "retention"),
    [
        ({}, "confidential", "30d"),
        ({"spanward.classification": "public", "spanward.retention": "permanent"}, "confidential", "30d"),
        ({"spanward.classification": "restricted", "spanward.retention": "7d"}, "restricted", "7d"),
        ({"spanward.classification": "?", "spanward.retention": "?"}, "confidential", "30d"),
    ],
)
def test_a_rule_is_a_floor_under_claims(claim: Attributes, classification: str, retention: str) -> None:
    """A rule for the service, and claims below, above and beside it: protection only ever rises."""
    policy = {"labels": [{"match": {"service": "sh*"}, "classification": "confidential", "retention": "30d"}]}

    verdict = verdict_of(span_of(claim), policy)

    assert (verdict.classification.value, str(verdict.retention)) == (classification, retention)


def test_of_several_rules_the_strictest_holds() -> None:
    """Three rules that match, one that does not: strictest class, shortest term, and dropped because one says so."""
    policy = {
        "labels": [
            {"match": {"service": "shop"}, "classification": "public", "retention": "permanent"},
            {"match": {"operation": "GET *"}, "classification": "confidential", "retention": "365d"},
            {"match": {"attribute": "tenant.kind=health*"}, "drop": True},
            {"match": {"service": "other", "operation": "GET *"}, "classification": "restricted"},
        ],
    }

    verdict = verdict_of(span_of({"tenant.kind": "healthcare"}, name="GET /x"), policy)

    assert (verdict.classification, verdict.retention, verdict.dropped) == (Classification.CONFIDENTIAL, YEAR, True)


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        ({"service": "shop"}, True),
        ({"service": "Shop"}, False),
        ({"operation": "op"}, True),
        ({"operation": "o?x"}, False),
        ({"event_type": "llm.*"}, True),
        ({"event_type": "agent.*"}, False),
        ({"attribute": "flag=true"}, True),
        ({"attribute": "gen_ai.*"}, True),
        ({"attribute": "region"}, True),
        ({"attribute": "n=5"}, True),
        ({"attribute": "n=6"}, False),
        ({"attribute": "missing"}, False),
        ({"service": "shop", "attribute": "missing"}, False),
    ],
)
def test_what_rules_match(match: dict[str, str], *, matches: bool) -> None:
    """Service, operation, event type and attributes of span and resource, alone and together."""
    attributes: Attributes = {"spanward.event.type": "llm.call", "flag": True, "gen_ai.request.model": "m", "n": 5}
    span = span_of(attributes, resource={"service.name": "shop", "region": "eu"})

    verdict = verdict_of(span, {"labels": [{"match": match, "retention": "7d"}]})

    assert (verdict.retention == WEEK) is matches


def test_a_permanent_rule_is_longer_than_any_claim() -> None:
    """A rule that says permanent, a claim of a year: the year, for it protects more."""
    policy = {"labels": [{"match": {"service": "shop"}, "retention": "permanent"}]}

    assert verdict_of(span_of({"spanward.retention": "365d"}), policy).retention == YEAR
    assert verdict_of(span_of(), policy).retention == PERMANENT


@pytest.mark.parametrize(
    ("attributes", "pii", "violations"),
    [
        ({"spanward.contains_pii": True}, ("declared",), ()),
        ({"spanward.contains_pii": False}, (), ()),
        ({"spanward.contains_pii": False, "e": "a@b.co"}, ("email",), ("claims",)),
        ({"spanward.privacy.tags": ["email", "health"]}, ("declared", "email"), ()),
        ({"spanward.privacy.tags": "iban, card"}, ("card", "iban"), ()),
        ({"spanward.privacy.tags": 7}, (), ()),
        ({"spanward.pii": ["card", "nonsense", 3], "e": "a@b.co"}, ("card", "email"), ()),
    ],
)
def test_declared_personal_data(attributes: Attributes, pii: tuple[str, ...], violations: tuple[str, ...]) -> None:
    """What senders declare joins what is found; denying what is there is a violation."""
    verdict = verdict_of(span_of(attributes))

    assert (verdict.pii, verdict.quality_violations) == (pii, violations)


def test_findings_of_an_earlier_pass_travel_with_the_span() -> None:
    """Subjects, types and violations that the application attached: taken over where they have the right form."""
    subject = digest(KEY, "x")
    span = span_of(
        {
            "spanward.subjects": [subject, "no subject", *[subject] * 500],
            "spanward.quality.violations": ["anomaly", "Not A Name"],
            "note": f"<card> <email:{digest(KEY, 'y')}>",
        },
    )
    verdict = verdict_of(span)

    assert set(verdict.subjects) == {subject, digest(KEY, "y")}
    assert verdict.pii == ("card", "email")
    assert verdict.quality_violations == ("anomaly",)
    assert verdict.quality_score < 1


def test_scan_and_redact_answer_for_single_texts() -> None:
    """Texts with and without a key: positions and redactions as in a span, a marker where an attribute would go."""
    governor = Governor(Policy.default(), [KEY])

    assert governor.scan("mail a@b.co, card 4111111111111111") == [Finding("email", 5, 11), Finding("card", 18, 34)]
    assert governor.scan("<card> 1.2.3.4", key="x.version") == []
    assert governor.scan("anything", key="password") == [Finding("credential", 0, 8)]
    assert governor.redact("mail a@b.co") == f"mail <email:{digest(KEY, 'a@b.co')}>"
    assert governor.redact("hunter2", key="password") == "<credential>"
    assert governor.redact("x AKIAIOSFODNN7EXAMPLE") == "x <api_key>"
    assert governor.redact("clean") == "clean"


def test_many_keys_do_not_grow_without_end() -> None:
    """20,000 distinct attribute keys: what is remembered of keys stays bounded."""
    governor = Governor(Policy.default(), [KEY])
    governor.govern([span_of({f"key.{n}": n}) for n in range(20_000)])

    assert len(governor._plan.keys) <= 8192
