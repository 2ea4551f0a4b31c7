"""One call of a traced function: its span from start to end, whatever happens.

Nothing here raises: trouble with tracing is logged once, and the host's call goes on without a span.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, Final

import psutil
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NoOpTracer,
    NoOpTracerProvider,
    ProxyTracerProvider,
    Span,
    SpanContext,
    Status,
    StatusCode,
    Tracer,
    TracerProvider,
)
from opentelemetry.util.types import AttributeValue

from spanward.sdk import attributes as names
from spanward.sdk._guard import warn_once
from spanward.sdk._links import Linkable, LinkSource, to_links
from spanward.sdk._options import Options
from spanward.sdk._values import shorten, to_text
from spanward.sdk.context import current_session

SCOPE_NAME: Final = "spanward.sdk"
_MOST_MESSAGE: Final = 1024
_RECORDED: Final = "__spanward_recorded_in__"
_RECEIVERS: Final = frozenset({"self", "cls"})
_MEBIBYTE: Final = 1 << 20


class Template:
    """All that is known of a traced function before it is called."""

    __slots__ = ("_attributes", "_options", "_provider", "_signature", "_tracer", "name")

    def __init__(self, options: Options, function_name: str, signature: inspect.Signature | None) -> None:
        self.name = options.name or function_name
        self._options = options
        self._signature = signature
        self._attributes: Mapping[str, AttributeValue] = {names.CODE_FUNCTION_NAME: function_name, **options.attributes}
        self._provider: TracerProvider | None = None
        self._tracer: Tracer | None = None

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation | None:
        """Start a span for one call; None when tracing is off, and then nothing has been done."""
        provider = self._options.tracer_provider or trace.get_tracer_provider()
        if provider is not self._provider:
            self._tracer, self._provider = find_tracer(provider), provider
        if self._tracer is None:
            return None
        try:
            return self._start(self._tracer, args, kwargs)
        except Exception:  # noqa: BLE001 - a sampler or processor of the host may raise anything; its function must run
            warn_once(f"begin {self.name}", "%s runs without a span", self.name, exc_info=True)
            return None

    def _start(self, tracer: Tracer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Operation:
        span = tracer.start_span(
            self.name,
            kind=self._options.kind,
            attributes={**self._attributes, **current_session().attributes()},
            links=self._links(args, kwargs),
            record_exception=False,
            set_status_on_exception=False,
        )
        operation = Operation(span, record_result=self._options.record_result, measure=self._options.measure)
        if self._options.record_args and span.is_recording():
            operation.guarded(lambda: span.set_attribute(names.INPUT, to_text(self._arguments(args, kwargs))))
        return operation

    def _links(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Link]:
        """Lineage, those that can be read: a link that cannot is worth a warning, not a lost span."""
        links: list[Link] = []
        for source in self._options.links:
            try:
                links += to_links(_sources(source(*args, **kwargs)) if callable(source) else (source,))
            except Exception as error:  # noqa: BLE001 - the source may be the host's function
                warn_once(f"link {self.name}", "%s: a link is left out: %s", self.name, error)
        return links

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Mapping[str, Any]:
        wanted = self._options.record_args
        if self._signature is None:
            given: dict[str, Any] = {**{str(place): value for place, value in enumerate(args)}, **kwargs}
        else:
            given = _bind(self._signature, args, kwargs)
        return given if isinstance(wanted, bool) else {name: given[name] for name in given if name in wanted}


def _bind(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments by name, defaults included, without the object that the method belongs to."""
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    given: dict[str, Any] = {}
    for place, (name, value) in enumerate(bound.arguments.items()):
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            given |= value
        elif place or name not in _RECEIVERS:
            given[name] = value
    return given


def _sources(found: LinkSource | Iterable[LinkSource] | None) -> Iterable[LinkSource]:
    if found is None:
        return ()
    if isinstance(found, SpanContext | Span | Linkable | str):  # a SpanContext is a tuple, and text is iterable
        return (found,)
    return found


def find_tracer(provider: TracerProvider) -> Tracer | None:
    """Our tracer of a provider; None when that provider makes no spans."""
    if isinstance(provider, ProxyTracerProvider | NoOpTracerProvider):
        return None
    tracer = provider.get_tracer(SCOPE_NAME)
    return None if isinstance(tracer, NoOpTracer) else tracer


class Operation:
    """A started span. End it exactly once, with `succeed` or `fail`."""

    __slots__ = ("_meter", "_record_result", "context", "span")

    def __init__(self, span: Span, *, record_result: bool, measure: bool) -> None:
        recording = span.is_recording()
        self.span = span
        self.context: Context = trace.set_span_in_context(span)
        self._record_result = record_result and recording
        self._meter = Meter() if measure and recording else None

    @property
    def records_result(self) -> bool:
        """Whether `succeed` wants the result."""
        return self._record_result

    def succeed(self, result: Any = None) -> None:
        """The call returned."""
        if self._record_result:
            self.guarded(lambda: self.span.set_attribute(names.OUTPUT, to_text(result)))
        self._end()

    def fail(self, error: BaseException) -> None:
        """The call raised `error`; GeneratorExit and a clean SystemExit are ways to finish."""
        if not _is_finish(error):
            self.guarded(lambda: record_failure(self.span, error))
        self._end()

    def _end(self) -> None:
        if self._meter is not None:
            self.guarded(self._measure)
        self.guarded(self.span.end)

    def _measure(self) -> None:
        assert self._meter is not None
        self.span.set_attributes(self._meter.read())

    def guarded(self, step: Callable[[], object]) -> None:
        """Take a step of the bookkeeping; should it raise, the host never hears of it."""
        try:
            step()
        except Exception:  # noqa: BLE001 - values and processors are the host's, and may raise anything
            warn_once("operation", "a part of a span could not be recorded", exc_info=True)


def _is_finish(error: BaseException) -> bool:
    return isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code)


def record_failure(span: Span, error: BaseException) -> None:
    """Mark a span as failed, and describe the exception in the innermost span that it left, once a trace.

    The spans around it have the status and `error.type`, which is what one searches for; the stack trace is not
    repeated in each.
    """
    if not span.is_recording():
        return
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    span.set_attribute(names.ERROR_TYPE, name)
    span.set_status(Status(StatusCode.ERROR, shorten(f"{kind.__qualname__}: {error}", _MOST_MESSAGE)))
    trace_id = span.get_span_context().trace_id
    if error.__dict__.get(_RECORDED) != trace_id:
        span.record_exception(error)
        error.__dict__[_RECORDED] = trace_id


class Meter:
    """What an operation costs: wall time, the process's resident memory at its end, CPU of the thread that ran it.

    While a coroutine waits, other tasks of the same thread run, and their CPU counts as well: read `cpu_percent` of
    coroutines as how busy the event loop was meanwhile.
    """

    __slots__ = ("_cpu", "_wall")

    def __init__(self) -> None:
        self._wall = time.perf_counter()
        self._cpu = time.thread_time()

    def read(self) -> dict[str, float]:
        """Milliseconds, MiB, and percent of one core since this meter was made."""
        wall = time.perf_counter() - self._wall
        cpu = max(time.thread_time() - self._cpu, 0.0)  # another thread's clock, when a generator changed hands
        return {
            names.PROCESSING_TIME_MS: wall * 1e3,
            names.MEMORY_MB: _process().memory_info().rss / _MEBIBYTE,
            names.CPU_PERCENT: 100.0 * cpu / wall if wall > 0 else 0.0,
        }


@cache
def _process() -> psutil.Process:
    return psutil.Process()
