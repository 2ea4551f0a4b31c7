"""Session ids on spans, and the current span on its way into threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from spanward.sdk import TracedThreadPoolExecutor, current_session, propagate, session, traced
from spanward.sdk._processor import SessionSpanProcessor


def test_sessions_nest_and_end() -> None:
    """An inner session adds to the outer one, "" takes an id away, and leaving restores what was."""
    with session(session_id="s1", user_id="u1"):
        with session(request_id="r1", user_id=""):
            assert current_session().attributes() == {"session.id": "s1", "spanward.request.id": "r1"}
        assert current_session().attributes() == {"session.id": "s1", "user.id": "u1"}
    assert current_session().attributes() == {}


def test_traced_spans_have_the_ids(provider: TracerProvider, exporter: InMemorySpanExporter) -> None:
    """A provider without our processor: `traced` puts the ids on its spans itself."""

    @traced(tracer_provider=provider)
    def work() -> None: ...

    with session(session_id="s1", request_id="r1", user_id="u1"):
        work()
    (span,) = exporter.get_finished_spans()
    found = dict(span.attributes or {})
    assert (found["session.id"], found["spanward.request.id"], found["user.id"]) == ("s1", "r1", "u1")


def test_any_instrumentation_gets_the_ids_and_keeps_its_own(
    provider: TracerProvider,
    exporter: InMemorySpanExporter,
) -> None:
    """With the processor, spans that others start have the ids too; an id they set themselves stays."""
    processor = SessionSpanProcessor()
    provider.add_span_processor(processor)
    tracer = provider.get_tracer("theirs")
    with session(session_id="s1", user_id="u1"):
        tracer.start_span("one", attributes={"user.id": "theirs"}).end()
    tracer.start_span("two").end()
    one, two = exporter.get_finished_spans()
    assert dict(one.attributes or {}) == {"session.id": "s1", "user.id": "theirs"}
    assert dict(two.attributes or {}) == {}
    assert processor.force_flush()


def test_a_plain_thread_pool_loses_the_parent_and_ours_keeps_it(provider: TracerProvider) -> None:
    """The reason for the class: tasks of a plain pool start without a span, ours in the submitter's."""
    with provider.get_tracer("test").start_as_current_span("parent") as parent:
        expected = parent.get_span_context()
        with ThreadPoolExecutor(1) as plain:
            assert plain.submit(current).result() != expected
        with TracedThreadPoolExecutor(2) as pool:
            assert pool.submit(current).result() == expected
            assert list(pool.map(lambda _: current(), range(8))) == [expected] * 8


def test_a_propagated_function_runs_in_many_threads_at_once(provider: TracerProvider) -> None:
    """One bound function, started by several threads that are all inside it together: each has the context."""
    inside = threading.Barrier(4, timeout=10)
    found: list[trace.SpanContext] = []

    def work() -> None:
        inside.wait()
        found.append(current())

    with provider.get_tracer("test").start_as_current_span("parent") as parent:
        bound = propagate(work)
    threads = [threading.Thread(target=bound) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [parent.get_span_context()] * 4


def current() -> trace.SpanContext:
    return trace.get_current_span().get_span_context()
