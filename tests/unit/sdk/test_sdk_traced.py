"""`traced` on functions, coroutines, methods and classes."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from spanward.processor.policy.labels import Classification
from spanward.sdk import traced
from spanward.sdk._operation import record_failure
from spanward.store.errors import ConfigurationError


def only(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


# --- wrong options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"kind": "sideways"}, "sideways"),
        ({"classification": "secret"}, "secret"),
        ({"retention": "a while"}, "a while"),
        ({"record_args": "prompt"}, r"record_args=\['prompt'\]"),
        ({"record_args": ["nothing"]}, "nothing"),
        ({"links": "abc"}, "links"),
        ({"links": ["12:34"]}, "12:34"),
        ({"name": 5}, "name=5"),
        ({"attributes": "x"}, "attributes takes a mapping, not a str"),
    ],
)
def test_a_wrong_option_is_refused_where_the_decorator_stands(options: dict[str, Any], named: str) -> None:
    """A typing error in an option: one clear error at import, not a silent hole in the traces."""
    with pytest.raises(ConfigurationError, match=named):

        @traced(**options)
        def function(prompt: str) -> str:
            return prompt


def test_what_cannot_be_called_is_refused() -> None:
    """`traced` on a value: an error that says what it takes."""
    with pytest.raises(ConfigurationError, match="not int"):
        traced(3)


# --- tracing off, or in trouble ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_global_provider")
def test_without_a_provider_the_call_goes_straight_through() -> None:
    """Nobody configured tracing: the function works, and no argument is looked at."""

    class Touchy:
        def __repr__(self) -> str:
            raise AssertionError("looked at")

    @traced(record_args=True, record_result=True, measure=True, links=lambda _: 1 / 0)  # type: ignore[arg-type,return-value]  # pyright: ignore[reportArgumentType] - wrong on purpose
    def echo(value: Touchy) -> Touchy:
        return value

    touchy = Touchy()
    assert echo(touchy) is touchy


@pytest.mark.usefixtures("no_global_provider")
def test_a_provider_that_is_set_later_is_found() -> None:
    """Decorated at import, configured in main: the first call after that has a span."""

    @traced
    def context() -> trace.SpanContext:
        return trace.get_current_span().get_span_context()

    assert not context().is_valid
    provider = TracerProvider(shutdown_on_exit=False)
    trace.set_tracer_provider(provider)
    assert context().is_valid
    provider.shutdown()


def test_a_disabled_sdk_costs_no_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_SDK_DISABLED: the tracer makes no spans, and the call goes straight through."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    provider = TracerProvider(shutdown_on_exit=False)

    @traced(tracer_provider=provider)
    def double(number: int) -> int:
        return 2 * number

    assert double(4) == 8


def test_a_sampled_out_call_keeps_its_children_out_as_well() -> None:
    """The sampler says no: nothing is recorded, and the decision reaches the spans inside."""
    provider = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)

    @traced(tracer_provider=provider, record_args=True, record_result=True, measure=True)
    def context(_argument: int) -> trace.SpanContext:
        return trace.get_current_span().get_span_context()

    assert context(1).is_valid
    assert not context(1).trace_flags.sampled

    @traced(tracer_provider=provider)
    def fail() -> None:
        raise KeyError("gone")

    with pytest.raises(KeyError):
        fail()


class Explosive(SpanProcessor):
    """A processor of the host's that fails at the start, or at the end, of each span."""

    def __init__(self, *, at_start: bool) -> None:
        self._at_start = at_start

    def on_start(self, span: Span, parent_context: Any = None) -> None:
        """Fail, or not."""
        if self._at_start:
            raise RuntimeError("at start")

    def on_end(self, span: ReadableSpan) -> None:
        """Fail."""
        raise RuntimeError("at end")


@pytest.mark.parametrize("at_start", [True, False])
def test_trouble_in_tracing_never_reaches_the_host(at_start: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A span processor raises: the function's result comes back all the same, and the log says it once."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Explosive(at_start=at_start))

    @traced(tracer_provider=provider)
    def double(number: int) -> int:
        return 2 * number

    with caplog.at_level(logging.WARNING, logger="spanward.sdk"):
        assert [double(number) for number in range(3)] == [0, 2, 4]
    assert len(caplog.records) == 1


def test_a_link_that_cannot_be_had_costs_only_the_link(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The link function raises, or names no span: the call has its span without that link."""

    def raising(_number: int) -> str:
        raise LookupError("no parent")

    @traced(tracer_provider=provider, links=[raising, lambda _: "nonsense", lambda _: None])
    def double(number: int) -> int:
        return 2 * number

    assert double(2) == 4
    assert only(exporter).links == ()
    assert "no parent" in caplog.text


# --- what is recorded -------------------------------------------------------------------------------------------------


def test_a_bare_function_is_named_after_itself(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """No option: the span's name is module and qualified name, and it ends without an error."""

    @traced(tracer_provider=provider)
    def greet(name: str) -> str:
        """Say hello."""
        return f"hello {name}"

    assert greet("you") == "hello you"
    span = only(exporter)
    assert span.name == f"{__name__}.{greet.__qualname__}"
    assert attributes(span) == {"code.function.name": span.name}
    assert span.status.status_code is StatusCode.UNSET
    assert (greet.__name__, greet.__doc__) == ("greet", "Say hello.")
    assert str(inspect.signature(greet)) == "(name: 'str') -> 'str'"


def test_every_option_shows_in_the_span(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """All options at once: each is where docs/event-record.md says."""
    parent = "1" * 32 + ":" + "2" * 16

    @traced(
        tracer_provider=provider,
        name="pay",
        kind="client",
        classification=Classification.CONFIDENTIAL,
        retention=365,
        record_args=["amount", "password"],
        record_result=True,
        component="billing",
        event_type="payment.made",
        links=[parent, lambda amount, **_: trace.SpanContext(amount, amount, is_remote=True)],
        attributes={"shop": "north", "lanes": [1, 2], "odd": {"a": None}},
        measure=True,
    )
    def pay(amount: int, currency: str = "EUR", **more: Any) -> dict[str, int]:
        return {"paid": amount}

    assert pay(7, password="hunter2") == {"paid": 7}
    span = only(exporter)
    found = attributes(span)
    measured = {
        key: found.pop(key) for key in ("spanward.processing_time_ms", "spanward.memory_mb", "spanward.cpu_percent")
    }
    assert all(isinstance(value, float) and value >= 0 for value in measured.values())
    assert found.pop("code.function.name").endswith("pay")
    assert found == {
        "spanward.classification": "confidential",
        "spanward.retention": "365d",
        "spanward.component": "billing",
        "spanward.event.type": "payment.made",
        "spanward.input": '{"amount":7,"password":"<credential>"}',
        "spanward.output": '{"paid":7}',
        "shop": "north",
        "lanes": (1, 2),
        "odd": '{"a":null}',
    }
    assert (span.name, span.kind) == ("pay", SpanKind.CLIENT)
    assert [(link.context.trace_id, link.context.span_id) for link in span.links] == [
        (int("1" * 32, 16), int("2" * 16, 16)),
        (7, 7),
    ]


def test_all_arguments_are_recorded_by_name(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """record_args=True: positional, default, variadic and keyword arguments under their names."""

    @traced(tracer_provider=provider, record_args=True)
    def call(first: int, /, *rest: int, last: int = 9, **more: int) -> None: ...

    call(1, 2, 3, extra=4)
    assert attributes(only(exporter))["spanward.input"] == '{"first":1,"rest":[2,3],"last":9,"extra":4}'


def test_a_call_that_does_not_fit_fails_as_it_would_untraced(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """Wrong arguments: Python's own TypeError, recorded as the call's failure."""

    @traced(tracer_provider=provider, record_args=True)
    def call(first: int) -> None: ...

    with pytest.raises(TypeError, match="unexpected keyword argument 'second'"):
        call(second=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue] - wrong on purpose
    assert attributes(only(exporter))["error.type"] == "TypeError"


def test_a_function_without_a_signature_is_recorded_by_position(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """Some built-ins tell no signature: their arguments are recorded under their places."""
    assert traced(tracer_provider=provider, record_args=True)(max)(3, 5) == 5
    assert attributes(only(exporter))["spanward.input"] == '{"0":3,"1":5}'


def test_a_partial_and_a_callable_object_have_names(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Callables that are not functions: named after what they call, or their class."""

    class Doubler:
        def __call__(self, number: int) -> int:
            return 2 * number

    assert traced(tracer_provider=provider)(functools.partial(sorted, reverse=True))([1, 2]) == [2, 1]
    assert traced(tracer_provider=provider)(Doubler())(4) == 8
    assert [span.name for span in exporter.get_finished_spans()] == [
        "builtins.sorted",
        f"{__name__}.{Doubler.__qualname__}",
    ]


async def test_a_coroutine_function_stays_one(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Async: it is awaited under its span, which lasts until the result is there."""

    @traced(tracer_provider=provider, record_result=True)
    async def answer() -> int:
        await asyncio.sleep(0)
        return trace.get_current_span().get_span_context().span_id

    assert inspect.iscoroutinefunction(answer)
    span_id = await answer()
    span = only(exporter)
    assert span.context is not None
    assert span.context.span_id == span_id
    assert attributes(span)["spanward.output"] == str(span_id)
    assert not trace.get_current_span().get_span_context().is_valid


@pytest.mark.usefixtures("no_global_provider")
async def test_a_coroutine_function_without_a_provider_goes_straight_through() -> None:
    """Async with tracing off: the awaited result, no span."""

    @traced
    async def answer() -> int:
        return 42

    assert await answer() == 42


async def test_tasks_that_run_at_once_keep_to_their_own_parents(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """Twenty interleaved tasks: each inner span is the child of its own outer one."""

    @traced(tracer_provider=provider, name="inner", record_args=True)
    async def inner(number: int) -> None:
        await asyncio.sleep(0)

    @traced(tracer_provider=provider, name="outer", record_args=True)
    async def outer(number: int) -> None:
        await asyncio.sleep(0)
        await asyncio.gather(inner(number), inner(number))

    await asyncio.gather(*(outer(number) for number in range(20)))
    spans = exporter.get_finished_spans()
    outers = {
        span.context.span_id: attributes(span)["spanward.input"]
        for span in spans
        if span.context and span.name == "outer"
    }
    inners = [span for span in spans if span.name == "inner"]
    assert len(outers) == 20
    assert len(inners) == 40
    assert all(span.parent and outers[span.parent.span_id] == attributes(span)["spanward.input"] for span in inners)


# --- exceptions -------------------------------------------------------------------------------------------------------


class QuotaError(Exception):
    """An error of the host's."""


def test_an_exception_is_recorded_once_and_passes_unchanged(
    provider: TracerProvider, exporter: InMemorySpanExporter
) -> None:
    """Two traced functions, one exception: described in the inner span, status and type in both."""
    error = QuotaError("spent")

    @traced(tracer_provider=provider, name="inner")
    def inner() -> None:
        raise error

    @traced(tracer_provider=provider, name="outer")
    def outer() -> None:
        inner()

    with pytest.raises(QuotaError) as caught:
        outer()
    assert caught.value is error
    first, second = exporter.get_finished_spans()
    assert [span.status.status_code for span in (first, second)] == [StatusCode.ERROR] * 2
    assert first.status.description == "QuotaError: spent"
    assert {attributes(span)["error.type"] for span in (first, second)} == {f"{__name__}.QuotaError"}
    (event,) = first.events
    assert event.name == "exception"
    assert dict(event.attributes or {})["exception.message"] == "spent"
    assert second.events == ()


def test_the_same_exception_in_another_trace_is_described_again(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """An exception object that is raised again and again: each trace tells its story."""
    error = QuotaError("spent")

    @traced(tracer_provider=provider)
    def fail() -> None:
        raise error

    for _ in range(2):
        with pytest.raises(QuotaError):
            fail()
    assert [len(span.events) for span in exporter.get_finished_spans()] == [1, 1]


async def test_a_cancelled_task_is_a_failed_span(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """Cancellation passes through, and the span says what became of it."""

    @traced(tracer_provider=provider)
    async def wait() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attributes(only(exporter))["error.type"] == "asyncio.exceptions.CancelledError"


def test_a_clean_exit_is_no_error(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """`sys.exit(0)` inside a traced main: the span ends without an error."""

    @traced(tracer_provider=provider)
    def main() -> None:
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        main()
    assert only(exporter).status.status_code is StatusCode.UNSET


def test_a_span_that_does_not_record_is_left_alone() -> None:
    """record_failure on a span that was sampled out changes nothing, not even the exception."""
    error = QuotaError("spent")
    record_failure(trace.INVALID_SPAN, error)
    assert vars(error) == {}


# --- classes ----------------------------------------------------------------------------------------------------------


def test_a_class_has_its_public_methods_traced(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """On a class: plain, static and class methods each get a span; private ones, properties and data do not."""

    @traced(tracer_provider=provider, name="Till", record_args=["amount"])
    class Till:
        unit = "EUR"

        def take(self, amount: int) -> int:
            return self._sum(amount)

        def _sum(self, amount: int) -> int:
            return amount

        @property
        def empty(self) -> bool:
            return True

        @staticmethod
        def rounded(value: float) -> int:
            return round(value)

        @classmethod
        def make(cls) -> Till:
            return cls()

        @traced(tracer_provider=provider, name="its own")
        def special(self) -> None: ...

        @staticmethod
        @traced(tracer_provider=provider, name="its own, static")
        def fixed() -> None: ...

    till = Till.make()
    assert isinstance(till, Till)
    assert (till.take(5), Till.rounded(2.6), till.empty, Till.unit) == (5, 3, True, "EUR")
    till.special()
    Till.fixed()
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == ["Till.make", "Till.take", "Till.rounded", "its own", "its own, static"]
    assert attributes(spans[1])["spanward.input"] == '{"amount":5}'
    assert "spanward.input" not in attributes(spans[2])


def test_methods_may_be_decorated_in_either_order(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """`traced` above or below staticmethod and classmethod: both work, and `self` is never recorded."""

    class Tools:
        @traced(tracer_provider=provider, record_args=True)
        @staticmethod
        def above(a: int) -> int:
            return a

        @staticmethod
        @traced(tracer_provider=provider, record_args=True)
        def below(a: int) -> int:
            return a

        @traced(tracer_provider=provider, record_args=True)
        @classmethod
        def of_class(cls, a: int) -> int:
            return a

        @traced(tracer_provider=provider, record_args=True)
        def of_object(self, a: int) -> int:
            return a

    assert (Tools.above(1), Tools.below(1), Tools.of_class(1), Tools().of_object(1)) == (1, 1, 1, 1)
    assert {attributes(span)["spanward.input"] for span in exporter.get_finished_spans()} == {'{"a":1}'}
