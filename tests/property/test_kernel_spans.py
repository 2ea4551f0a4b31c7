"""The compiled kernel makes the OTLP requests of spans that Python makes, or leaves the spans to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanward.processor.otel.encoder import SpanEncoder
from spanward.processor.policy.config import Policy
from spanward.processor.policy.native import Engine
from tests.support.kernel_policies import CLAIMED, CLAIMS, HASH_KEY, POLICIES
from tests.support.planted_texts import PLANTED_TEXTS
from tests.support.readable_spans import spans

pytest.importorskip("spanward.native", reason="the kernel is not built: `make kernel` builds it (needs Rust)")

KEYS: Final = st.sampled_from([*CLAIMS, "service.name", "http.route", "user.id", "url.query"]) | PLANTED_TEXTS
CLAIMED_VALUES: Final[st.SearchStrategy[Any]] = st.one_of(
    CLAIMED, st.lists(CLAIMED, max_size=3).map(tuple), st.booleans(), st.integers(-5, 50_000), st.floats(-5, 50_000)
)
BATCHES: Final = spans(
    PLANTED_TEXTS | CLAIMED,
    KEYS.filter(bool),
    st.dictionaries(st.sampled_from(CLAIMS), CLAIMED_VALUES, min_size=1, max_size=5),
)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    """OpenTelemetry says of each odd value, with a stack trace, that it cannot be encoded."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


class Pair:
    """A kernel and its twin under one policy, each with baselines of its own that see the same spans."""

    def __init__(self, policy: str, *, key: bool = True) -> None:
        self.policy, self.keys = Policy.model_validate(POLICIES[policy]), [HASH_KEY] if key else []
        self.kernel = SpanEncoder(self.policy, self.keys, Engine.KERNEL)
        self.python = SpanEncoder(self.policy, self.keys, Engine.PYTHON)

    def compare(self, batch: Sequence[ReadableSpan]) -> bool:
        """Whether the kernel took the batch; if so, the request, what was dropped and the count are the twin's."""
        made = self.kernel._encode_natively(self.kernel._native, batch)
        if made is None:
            return False
        expected = self.python.encode(batch)
        assert flat(made.body) == flat(expected.body)
        assert (made.spans, self.kernel.dropped) == (expected.spans, self.python.dropped)
        assert self.python.failed == 0
        return True

    def compare_held(self, batch: Sequence[ReadableSpan]) -> None:
        """Spans that waited in the kernel are exported as if they had not, whoever governs them in the end."""
        made = self.kernel.encode([self.kernel.hold(span) for span in batch])
        expected = self.python.encode(batch)
        assert flat(made.body) == flat(expected.body)
        assert (made.spans, self.kernel.dropped) == (expected.spans, self.python.dropped)


def flat(body: bytes) -> list[list[Any]]:
    """Each span with its resource and scope: two resources that differ no more may be one or two in a request."""
    return [
        [
            flat_attributes(resource.resource.attributes),
            resource.schema_url,
            resource.resource.dropped_attributes_count,
            (scope.scope.name, scope.scope.version, scope.schema_url, flat_attributes(scope.scope.attributes)),
            *flat_message(span),
        ]
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def flat_message(message: Any) -> list[Any]:
    """A message's fields that are set, as text: NaN is not equal to itself."""
    return [
        (
            field.name,
            flat_attributes(value)
            if field.name == "attributes"
            else [flat_message(item) for item in value]
            if field.name in {"events", "links"}
            else repr(value),
        )
        for field, value in message.ListFields()
    ]


def flat_attributes(attributes: Sequence[KeyValue]) -> list[str]:
    return sorted(map(repr, attributes))


@pytest.mark.parametrize("policy", POLICIES)
@given(batch=BATCHES)
@settings(max_examples=60, deadline=None)
def test_requests_are_the_same(policy: str, batch: Sequence[ReadableSpan]) -> None:
    """Any spans full of personal data, claims and odd values, under each policy: equal requests and counts."""
    Pair(policy).compare(batch)


@pytest.mark.parametrize("policy", POLICIES)
@given(batch=BATCHES)
@settings(max_examples=60, deadline=None)
def test_held_spans_are_the_same(policy: str, batch: Sequence[ReadableSpan]) -> None:
    """The same of spans that were held from their end to their export."""
    Pair(policy).compare_held(batch)


@given(batch=BATCHES)
@settings(max_examples=60, deadline=None)
def test_requests_are_the_same_without_a_key(batch: Sequence[ReadableSpan]) -> None:
    """No hash key: masks instead of hashes, no subjects, on both sides."""
    Pair("default", key=False).compare(batch)


def recorded(count: int, **attributes: Any) -> list[ReadableSpan]:
    """Spans as a real provider makes them, each a bit longer than the one before."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("test", "1.0", schema_url="https://example.com/schema", attributes={"a": 1})
    for number in range(count):
        with tracer.start_as_current_span("outer", attributes={"number": number, **attributes}) as span:
            span.add_event("said", {"to": "jo@example.com"})
            tracer.start_span("inner", start_time=10**18).end(10**18 + 10**6 * (number % 7 + 1))
    provider.shutdown()
    return list(memory.get_finished_spans())


def test_the_kernel_takes_what_an_sdk_makes() -> None:
    """Spans of a provider, with sequences and every scalar type: the kernel's, over several batches of one baseline."""
    pair = Pair("default")
    for odd_one in (1.5, 9e9):
        batch = recorded(60, names=("a", "b"), ratio=0.5, good=True, **{"spanward.memory_mb": odd_one})
        assert pair.compare(batch)


@pytest.mark.parametrize("value", ["\ud800", {"a": 1}])
def test_one_odd_value_leaves_the_batch_to_python(value: Any) -> None:
    """What the kernel does not read: the batch is Python's, governed all the same, and nothing is lost with it."""
    batch = [*recorded(3), *(ReadableSpan("odd", span.context, attributes={"k": value}) for span in recorded(1))]
    pair = Pair("default")
    assert not pair.compare(batch)
    request = pair.kernel.encode(batch)
    assert request.spans == len(batch)
    assert b"jo@example.com" not in request.body
