"""The benchmark's workload and its fresh ids."""

from __future__ import annotations

import random
import re

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bench import personal_data
from bench.fresh_ids import FreshRequest
from bench.workload import Workload, generate


@pytest.fixture(scope="module")
def workload() -> Workload:
    return generate(8, 512)


def spans_of(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def test_the_manifest_counts_what_is_there(workload: Workload) -> None:
    """Scenario: the requests are decoded again. Guarantee: every count in the manifest is theirs."""
    spans = [span for body in workload.requests for span in spans_of(body)]
    manifest = workload.manifest
    keys = [{attribute.key for attribute in span.attributes} for span in spans]
    assert (manifest.requests, manifest.spans) == (8, 8 * 512) == (len(workload.requests), len(spans))
    assert manifest.bytes == sum(map(len, workload.requests))
    assert manifest.traces == len({span.trace_id for span in spans})
    assert manifest.error_spans == sum(span.status.code == Status.STATUS_CODE_ERROR for span in spans)
    assert manifest.prompts == sum("gen_ai.prompt" in names for names in keys)
    assert manifest.email_attributes == sum("user.email" in names for names in keys)
    assert manifest.prompts_with_pii == sum(manifest.prompt_pii.values())
    personal = [_has_lead(span) or "user.email" in names for span, names in zip(spans, keys, strict=True)]
    assert manifest.spans_with_pii == sum(personal)


def _has_lead(span: Span) -> bool:
    prompts = [each.value.string_value for each in span.attributes if each.key == "gen_ai.prompt"]
    return any(lead in prompt for prompt in prompts for lead, _ in personal_data.KINDS.values())


def test_the_shape_is_the_promised_one(workload: Workload) -> None:
    """Scenario: 4,096 spans. Guarantee: twelve services, about 500 bytes a span, the shares of the description."""
    manifest, spans = workload.manifest, workload.manifest.spans
    services = {
        attribute.value.string_value
        for body in workload.requests
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for attribute in resource.resource.attributes
        if attribute.key == "service.name"
    }
    assert len(services) == 12
    assert 480 <= manifest.as_dict()["bytes_per_span"] <= 540
    assert 0.16 <= manifest.prompts / spans <= 0.26
    assert 0.09 <= manifest.spans_with_pii / spans <= 0.15
    assert 0.035 <= manifest.error_spans / spans <= 0.065
    assert manifest.near_miss_prompts > 0
    assert all(manifest.prompt_pii.values())


def test_the_same_seed_makes_the_same_bytes(workload: Workload) -> None:
    """Scenario: made again, and with another seed. Guarantee: equal, and different."""
    assert generate(8, 512).requests == workload.requests
    assert generate(8, 512, seed=1).requests != workload.requests


def test_calls_go_round_the_requests(workload: Workload) -> None:
    """Scenario: more calls than requests. Guarantee: personal data of whole rounds and of the requests after them."""
    assert workload.personal(0) == 0
    assert workload.personal(3) == sum(workload.spans_with_pii[:3])
    assert workload.personal(2 * 8 + 1) == 2 * workload.manifest.spans_with_pii + workload.spans_with_pii[0]


def test_personal_data_is_valid() -> None:
    """Scenario: a thousand of each. Guarantee: detectors with checksums and ranges have to accept them."""
    source = random.Random(5)
    for _ in range(1000):
        digits = [int(digit) for digit in personal_data.card(source) if digit.isdigit()]
        doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
        assert len(digits) == 16
        assert (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
        assert re.fullmatch(r"(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}", personal_data.ssn(source))
        assert re.fullmatch(r"[a-z]+\.[a-z]+\d+@[a-z.-]+", personal_data.email(source))
        assert sum(character.isdigit() for character in personal_data.phone(source)) in {10, 11}
        assert all(0 <= int(part) <= 255 for part in personal_data.ipv4(source).split("."))


def test_fresh_copies_differ_in_every_id_and_in_nothing_else(workload: Workload) -> None:
    """Scenario: copies of a request. Guarantee: no id twice, parents still resolve, all else equal."""
    original, fresh = workload.requests[0], FreshRequest(workload.requests[0])
    assert fresh.copy(0) == original
    seen = {identifier for span in spans_of(original) for identifier in (span.trace_id, span.span_id)}
    for number in (1, 2, 2**63):
        copy = fresh.copy(number)
        before, after = spans_of(original), spans_of(copy)
        ids = {identifier for span in after for identifier in (span.trace_id, span.span_id)}
        assert not ids & seen
        seen |= ids
        by_id = {span.span_id: new.span_id for span, new in zip(before, after, strict=True)}
        for old, new in zip(before, after, strict=True):
            assert new.parent_span_id == (by_id[old.parent_span_id] if old.parent_span_id else b"")
            new.trace_id, new.span_id, new.parent_span_id = old.trace_id, old.span_id, old.parent_span_id
            assert new == old


def test_copies_are_later() -> None:
    """Scenario: copies a second apart, a span with an event. Guarantee: all times move, so many times that."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(start_time_unix_nano=10, end_time_unix_nano=30)
    span.events.add(name="at", time_unix_nano=20)
    (copy,) = spans_of(FreshRequest(request.SerializeToString(), apart_ns=10**9).copy(3))
    times = (copy.start_time_unix_nano, copy.events[0].time_unix_nano, copy.end_time_unix_nano)
    assert times == (3 * 10**9 + 10, 3 * 10**9 + 20, 3 * 10**9 + 30)


def test_links_change_like_the_spans_they_name() -> None:
    """Scenario: a link to another span of the request. Guarantee: it still names that span in a copy."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    spans.add(trace_id=b"t" * 16, span_id=b"a" * 8, name="first")
    spans.add(trace_id=b"u" * 16, span_id=b"b" * 8).links.add(trace_id=b"t" * 16, span_id=b"a" * 8)
    first, second = spans_of(FreshRequest(request.SerializeToString()).copy(7))
    assert first.trace_id != b"t" * 16
    assert (second.links[0].trace_id, second.links[0].span_id) == (first.trace_id, first.span_id)


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"\x0a\x7f\x00", "cut off"), (b"\x0a\x80", "number at 2 is cut off"), (b"\x0b", "wire type 3")],
)
def test_bytes_that_are_no_request(body: bytes, message: str) -> None:
    """Scenario: truncated or foreign bytes. Guarantee: an error that says so."""
    with pytest.raises(ValueError, match=message):
        FreshRequest(body)


def test_fields_of_fixed_width_are_stepped_over() -> None:
    """Scenario: unknown fields of every plain wire type before the spans. Guarantee: the ids are found behind them."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"a" * 8)
    unknown = b"\x78\x96\x01" + b"\x79" + bytes(8) + b"\x7d" + bytes(4)
    (span,) = spans_of(FreshRequest(unknown + request.SerializeToString()).copy(1))
    assert span.span_id != b"a" * 8
