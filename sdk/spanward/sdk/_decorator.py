"""`traced`: a span around functions, methods, generators and whole classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast, overload

from opentelemetry.trace import SpanKind, TracerProvider

from spanward.processor.policy.labels import Classification, Retention
from spanward.sdk._options import Links, Options, make_options
from spanward.sdk._wrap import MARK, function_name, wrap
from spanward.store.errors import ConfigurationError

F = TypeVar("F")


@overload
def traced(target: F, /) -> F: ...


@overload
def traced(
    *,
    name: str | None = ...,
    kind: SpanKind | str = ...,
    classification: Classification | str | None = ...,
    retention: Retention | str | int | None = ...,
    record_args: bool | Collection[str] = ...,
    record_result: bool = ...,
    component: str | None = ...,
    event_type: str | None = ...,
    links: Links = ...,
    attributes: Mapping[str, Any] | None = ...,
    measure: bool = ...,
    tracer_provider: TracerProvider | None = ...,
) -> Callable[[F], F]: ...


def traced(
    target: F | None = None,
    /,
    *,
    name: str | None = None,
    kind: SpanKind | str = SpanKind.INTERNAL,
    classification: Classification | str | None = None,
    retention: Retention | str | int | None = None,
    record_args: bool | Collection[str] = False,
    record_result: bool = False,
    component: str | None = None,
    event_type: str | None = None,
    links: Links = (),
    attributes: Mapping[str, Any] | None = None,
    measure: bool = False,
    tracer_provider: TracerProvider | None = None,
) -> F | Callable[[F], F]:
    """Record a span for each call, bare (`@traced`) or with options (`@traced(name="pay")`).

    Functions, coroutine functions, generators and asynchronous generators (the span lasts the iteration), methods,
    static and class methods, callables; of a class, its own public methods, unless one is decorated already. What comes
    back is of the same kind and type, with the same signature. While no tracer provider is configured the call goes
    straight through. Trouble with tracing is logged and never raised; the function's own exceptions pass unchanged,
    after they have been recorded.

    Args:
        target: what to trace, when used bare.
        name: span name; default `module.qualname`. For a class, what stands before the method's name.
        kind: a SpanKind or its name, such as "client".
        classification: "public", "internal", "confidential" or "restricted".
        retention: "7d", "30d", "365d", "2555d", another number of days, or "permanent".
        record_args: True for all arguments, or the names of those to record, as JSON in `spanward.input`.
        record_result: record what is returned (of a generator the first 100 items) in `spanward.output`.
        component: part of the system, `spanward.component`.
        event_type: `spanward.event.type`, such as "model.call".
        links: the spans that the call is made from, its lineage: SpanContexts, spans, results of a Pipeline,
            "trace_id:span_id" texts, or functions of the call's arguments that give such.
        attributes: more attributes, the same for every call.
        measure: record processing time, memory and CPU.
        tracer_provider: whose spans these are; default the global provider.

    Raises:
        ConfigurationError: an option is wrong, or the target cannot be traced.
    """
    options = make_options(
        name=name,
        kind=kind,
        classification=classification,
        retention=retention,
        record_args=record_args,
        record_result=record_result,
        component=component,
        event_type=event_type,
        links=links,
        attributes=attributes,
        measure=measure,
        tracer_provider=tracer_provider,
    )
    if target is None:
        return lambda function: _trace(function, options)
    return _trace(target, options)


def _trace(target: F, options: Options) -> F:
    if isinstance(target, type):
        _trace_class(target, options)
        return cast("F", target)
    if isinstance(target, staticmethod | classmethod):
        return cast("F", type(target)(wrap(target.__func__, options)))
    if callable(target):
        return cast("F", wrap(target, options))
    raise ConfigurationError(f"traced takes a function, method or class, not {type(target).__name__}")


def _trace_class(cls: type, options: Options) -> None:
    """Put traced methods in the place of the class's own public ones."""
    prefix = options.name or function_name(cls)
    for attribute, member in list(vars(cls).items()):
        if attribute.startswith("_") or hasattr(member, MARK):
            continue
        if inspect.isfunction(member) or isinstance(member, staticmethod | classmethod):
            inner = member if inspect.isfunction(member) else member.__func__
            if not hasattr(inner, MARK):
                fitting = _fitting(options.named(f"{prefix}.{attribute}"), inner)
                setattr(cls, attribute, _trace(member, fitting))


def _fitting(options: Options, method: Callable[..., Any]) -> Options:
    """The options of a class for one method: of the arguments to be recorded, those that it has."""
    if isinstance(options.record_args, bool):
        return options
    wanted = options.record_args & inspect.signature(method).parameters.keys()
    return replace(options, record_args=wanted or False)
