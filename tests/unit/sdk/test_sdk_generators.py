"""`traced` on generators, asynchronous too: the span lasts the iteration and stays out of the consumer's way."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Generator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from spanward.sdk import traced


def current() -> trace.SpanContext:
    return trace.get_current_span().get_span_context()


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


# --- generators -------------------------------------------------------------------------------------------------------


def test_a_generator_that_raises_is_a_failed_span(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """An error at the second step: it passes through and the span has it."""

    @traced(tracer_provider=provider)
    def numbers() -> Generator[int, None, None]:
        yield 1
        raise ValueError("no second")

    steps = numbers()
    assert next(steps) == 1
    with pytest.raises(ValueError, match="no second"):
        next(steps)
    assert only(exporter).status.status_code is StatusCode.ERROR


def test_a_consumer_that_stops_early_ends_the_span(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """close(): the generator's own clean-up runs inside the span, and stopping is no error."""
    seen: list[trace.SpanContext] = []

    @traced(tracer_provider=provider)
    def numbers() -> Generator[int, None, None]:
        try:
            yield 1
            yield 2
        finally:
            seen.append(current())

    steps = numbers()
    next(steps)
    assert exporter.get_finished_spans() == ()
    steps.close()
    span = only(exporter)
    assert span.status.status_code is StatusCode.UNSET
    assert seen == [span.context]


def test_a_generator_that_is_never_started_has_no_span(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Nothing of its code ran, so there is nothing to tell."""

    @traced(tracer_provider=provider)
    def numbers() -> Generator[int, None, None]:
        yield 1

    numbers().close()
    assert exporter.get_finished_spans() == ()


def test_send_throw_and_return_reach_the_generator(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """The whole protocol: what is sent, what is thrown and what is returned pass through unchanged."""

    @traced(tracer_provider=provider, record_result=True)
    def echo() -> Generator[str, str, str]:
        heard = yield "ready"
        try:
            heard = yield heard
        except KeyError as error:
            heard = yield f"caught {error.args[0]}"
        return f"bye {heard}"

    assert inspect.isgeneratorfunction(echo)
    steps = echo()
    assert next(steps) == "ready"
    assert steps.send("one") == "one"
    assert steps.throw(KeyError("two")) == "caught two"
    with pytest.raises(StopIteration) as stop:
        steps.send("three")
    assert stop.value.value == "bye three"
    assert dict(only(exporter).attributes or {})["spanward.output"] == '["ready","one","caught two"]'


def test_the_span_is_current_inside_and_never_outside(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Between the steps the consumer has its own span; each step finds the generator's context as it was left."""
    tracer = provider.get_tracer("test")

    @traced(tracer_provider=provider, name="outer")
    def numbers() -> Generator[trace.SpanContext, None, None]:
        yield current()
        with tracer.start_as_current_span("inner"):
            yield current()
            yield current()
        yield current()

    with tracer.start_as_current_span("consumer") as consumer:
        found: list[trace.SpanContext] = []
        for context in numbers():
            found.append(context)
            assert current() == consumer.get_span_context()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    outer, inner = spans["outer"].context, spans["inner"].context
    assert found == [outer, inner, inner, outer]
    assert spans["outer"].parent == consumer.get_span_context()
    assert spans["inner"].parent == outer


@pytest.mark.usefixtures("no_global_provider")
def test_a_generator_without_a_provider_goes_straight_through() -> None:
    """Tracing off: items, sent values and the return value as ever."""

    @traced
    def echo() -> Generator[int, int, str]:
        got = yield 1
        return f"got {got}"

    steps = echo()
    assert next(steps) == 1
    with pytest.raises(StopIteration) as stop:
        steps.send(5)
    assert stop.value.value == "got 5"


def test_only_the_first_items_are_recorded(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """An endless stream does not pile up in memory: a hundred items are kept."""

    @traced(tracer_provider=provider, record_result=True)
    def numbers() -> Generator[int, None, None]:
        yield from range(1000)

    assert sum(numbers()) == 499_500
    assert str(dict(only(exporter).attributes or {})["spanward.output"]).endswith(",98,99]")


# --- asynchronous generators ------------------------------------------------------------------------------------------


async def test_an_async_generator_that_raises_is_a_failed_span(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """An error at the second step: it passes through and the span has it."""

    @traced(tracer_provider=provider)
    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("no second")

    with pytest.raises(ValueError, match="no second"):
        async for _ in numbers():
            pass
    assert only(exporter).status.status_code is StatusCode.ERROR


async def test_an_async_consumer_that_stops_early_ends_the_span(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """aclose(): the generator's own clean-up runs inside the span, and stopping is no error."""
    seen: list[trace.SpanContext] = []

    @traced(tracer_provider=provider)
    async def numbers() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            seen.append(current())

    steps = numbers()
    assert await anext(steps) == 1
    await steps.aclose()
    span = only(exporter)
    assert span.status.status_code is StatusCode.UNSET
    assert seen == [span.context]


async def test_asend_and_athrow_reach_the_generator(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """The whole protocol: what is sent and what is thrown pass through unchanged."""

    @traced(tracer_provider=provider, record_result=True)
    async def echo() -> AsyncGenerator[str, str]:
        heard = yield "ready"
        try:
            yield heard
        except KeyError as error:
            yield f"caught {error.args[0]}"

    assert inspect.isasyncgenfunction(echo)
    steps = echo()
    assert await anext(steps) == "ready"
    assert await steps.asend("one") == "one"
    assert await steps.athrow(KeyError("two")) == "caught two"
    with pytest.raises(StopAsyncIteration):
        await anext(steps)
    assert dict(only(exporter).attributes or {})["spanward.output"] == '["ready","one","caught two"]'


async def test_what_an_async_generator_does_not_catch_comes_back(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """athrow() of an error that the generator leaves alone: the consumer gets it back, the span has it."""

    @traced(tracer_provider=provider)
    async def numbers() -> AsyncGenerator[int, None]:
        yield 1

    steps = numbers()
    await anext(steps)
    with pytest.raises(KeyError):
        await steps.athrow(KeyError("mine"))
    assert only(exporter).status.status_code is StatusCode.ERROR


async def test_the_async_span_is_current_inside_and_never_outside(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """Between the steps the consumer has its own span; each step finds the generator's context as it was left."""
    tracer = provider.get_tracer("test")

    @traced(tracer_provider=provider, name="outer")
    async def numbers() -> AsyncGenerator[trace.SpanContext, None]:
        yield current()
        with tracer.start_as_current_span("inner"):
            yield current()
            yield current()
        yield current()

    with tracer.start_as_current_span("consumer") as consumer:
        found: list[trace.SpanContext] = []
        async for context in numbers():
            found.append(context)
            assert current() == consumer.get_span_context()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    outer, inner = spans["outer"].context, spans["inner"].context
    assert found == [outer, inner, inner, outer]
    assert spans["inner"].parent == outer


@pytest.mark.usefixtures("no_global_provider")
async def test_an_async_generator_without_a_provider_goes_straight_through() -> None:
    """Tracing off: items, sent values, errors and early ends as ever."""

    @traced
    async def echo() -> AsyncGenerator[int, int]:
        heard = yield 1
        yield heard
        raise ValueError("end")

    steps = echo()
    assert await anext(steps) == 1
    assert await steps.asend(5) == 5
    with pytest.raises(ValueError, match="end"):
        await anext(steps)
    stopped = echo()
    await anext(stopped)
    await stopped.aclose()
    assert [item async for item in _two()] == [1, 2]


@traced
async def _two() -> AsyncGenerator[int, None]:
    yield 1
    yield 2


async def test_what_was_not_yielded_is_not_recorded(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Scenario: a consumer stops after one item. Guarantee: that item is the result, and the stop is none."""

    @traced(tracer_provider=provider, record_result=True)
    def numbers() -> Generator[int, None, None]:
        yield 1
        yield 2

    @traced(tracer_provider=provider, record_result=True)
    async def later() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    steps, later_steps = numbers(), later()
    assert (next(steps), await anext(later_steps)) == (1, 1)
    steps.close()
    await later_steps.aclose()
    assert [dict(span.attributes or {})["spanward.output"] for span in exporter.get_finished_spans()] == ["[1]", "[1]"]
