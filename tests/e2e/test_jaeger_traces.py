"""Whole traces, as stock Jaeger's HTTP API answers them, against what was sent."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from spanward.sidecar.demo import hotrod
from tests.jaeger.marks import REAL_JAEGER
from tests.jaeger.oracle import as_python, by_trace, spans_of
from tests.jaeger.proof import Proof
from tests.jaeger.traffic import LARGE_SPANS, RAW_EMAIL, Request, recorded, send
from tests.jaeger.ui_form import expected, shown

pytest_plugins = ("tests.jaeger.fixtures",)
pytestmark = REAL_JAEGER

UNKNOWN = "1" * 32


@pytest.mark.parametrize("path", [f"/api/v3/traces/{UNKNOWN}", f"/api/traces/{UNKNOWN}"])
def test_an_unknown_trace_is_not_found(proof: Proof, path: str) -> None:
    """Scenario: an id that nobody sent. Guarantee: 404 from both APIs, no other error."""
    assert proof.client.ask(path).status_code == 404


def test_every_trace_comes_back_field_by_field(proof: Proof) -> None:
    """Scenario: every trace by id as OTLP. Guarantee: all spans, each field as sent, but for the one email address."""
    received = [proof.client.trace(trace_id) for trace_id in by_trace(proof.spans)]
    outcome = hotrod.compare(proof.sent, received)
    assert outcome.complete, outcome
    assert outcome.changed == Counter(email=1)
    assert sum(1 for _ in spans_of(received)) == len(proof.spans)


def test_the_recording_comes_back_complete(proof: Proof) -> None:
    """Scenario: the recording's traces by id. Guarantee: all its spans, traces, services, events and errors."""
    received = [proof.client.trace(trace_id) for trace_id in by_trace(spans_of(recorded()))]
    assert hotrod.census(received).figures() == {
        "spans": 1582, "traces": 42, "services": 6, "events": 2022, "errors": 100,
    }  # fmt: skip


def test_every_trace_is_what_the_ui_shows(proof: Proof) -> None:
    """Scenario: every trace by id in the UI's form.

    Guarantee: operation, times, references, tags, logs and process of each span are those of its OTLP form.
    """
    for trace_id in by_trace(proof.spans):
        as_otlp = list(spans_of([proof.client.trace(trace_id)]))
        assert shown(proof.client.ui_trace(trace_id)) == expected(as_otlp), trace_id


def test_the_ui_has_nothing_to_warn_of(proof: Proof) -> None:
    """Scenario: the recording's traces adjusted, as the UI asks. Guarantee: no missing parent, no doubled id."""
    for trace_id, spans in by_trace(spans_of(recorded())).items():
        trace = proof.client.ui_trace(trace_id, raw=False)
        assert len(trace["spans"]) == len(spans)
        assert [span["warnings"] for span in trace["spans"] if span["warnings"]] == []


def test_several_traces_by_id_come_in_one_answer(proof: Proof) -> None:
    """Scenario: the UI compares two traces, and one id is unknown. Guarantee: both; the third named as missing."""
    one, other = list(by_trace(proof.spans))[:2]
    answer = proof.client.json("/api/traces", traceID=[one, other, UNKNOWN])
    assert [trace["traceID"] for trace in answer["data"]] == [one, other]
    assert [error["traceID"] for error in answer["errors"]] == [UNKNOWN]


def test_a_trace_larger_than_a_message_comes_whole(proof: Proof) -> None:
    """Scenario: a trace of 7 MB, where Jaeger's client takes messages of 4 MiB. Guarantee: every span, once."""
    (trace_id,) = {one.trace_id for one in proof.spans if one.span.name == "import"}
    data = proof.client.trace(trace_id)
    assert data.ByteSize() > 4 << 20
    ids = [one.span.span_id for one in spans_of([data])]
    assert len(ids) == len(set(ids)) == LARGE_SPANS


def test_spans_that_share_an_id_are_all_shown(proof: Proof) -> None:
    """Scenario: client and server share a span id, as older libraries do. Guarantee: both are there, at once."""
    request = Request()
    for service in ("twin-client", "twin-server"):
        part = request.resource_spans.add()
        part.resource.attributes.add(key="service.name").value.string_value = service
        now = time.time_ns()
        part.scope_spans.add().spans.add(
            trace_id=b"\x42" * 16,
            span_id=b"\x43" * 8,
            name=service,
            start_time_unix_nano=now,
            end_time_unix_nano=now + 5,
        )
    send([request], proof.sidecar.grpc)
    assert sorted(one.service for one in spans_of([proof.client.trace("42" * 16)])) == ["twin-client", "twin-server"]
    assert len(proof.client.ui_trace("42" * 16)["spans"]) == 2


def test_personal_data_does_not_reach_jaeger(proof: Proof) -> None:
    """Scenario: a span that carried an email address. Guarantee: its token is shown, with the policy's verdict."""
    (trace_id,) = {one.trace_id for one in proof.spans if one.span.name == "newsletter"}
    for path in (f"/api/v3/traces/{trace_id}", f"/api/traces/{trace_id}"):
        assert RAW_EMAIL not in proof.client.ask(path).text
    (span,) = spans_of([proof.client.trace(trace_id)])
    attributes = as_python(span.span.attributes)
    assert attributes["newsletter.to"].startswith("write to <email:k1:")
    assert attributes["spanward.pii"] == ["email"]
    assert (attributes["spanward.classification"], attributes["spanward.retention"]) == ("internal", "30d")
