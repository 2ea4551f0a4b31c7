"""What `traced` was told, checked once where the decorator stands."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, TypeVar

from opentelemetry.trace import SpanKind, TracerProvider
from opentelemetry.util.types import AttributeValue

from spanward.processor.policy.labels import Classification, Retention
from spanward.sdk import attributes as names
from spanward.sdk._links import LinkSource, to_span_context
from spanward.sdk._values import to_attribute
from spanward.store.errors import ConfigurationError

T = TypeVar("T")

LinkFunction: TypeAlias = "Callable[..., LinkSource | Iterable[LinkSource] | None]"
"""Called with the arguments of the traced call; says what this call was made from."""

Links: TypeAlias = "Iterable[LinkSource | LinkFunction] | LinkFunction"


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one `traced`; see there for their meaning."""

    name: str | None = None
    kind: SpanKind = SpanKind.INTERNAL
    record_args: bool | frozenset[str] = False
    record_result: bool = False
    measure: bool = False
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict[str, AttributeValue])
    links: tuple[LinkSource | LinkFunction, ...] = ()
    tracer_provider: TracerProvider | None = None

    def named(self, name: str) -> Options:
        """The same under another span name."""
        return replace(self, name=name)


def make_options(
    *,
    name: str | None,
    kind: SpanKind | str,
    classification: Classification | str | None,
    retention: Retention | str | int | None,
    record_args: bool | Collection[str],
    record_result: bool,
    component: str | None,
    event_type: str | None,
    links: Links,
    attributes: Mapping[str, Any] | None,
    measure: bool,
    tracer_provider: TracerProvider | None,
) -> Options:
    """Check the options of `traced`.

    Raises:
        ConfigurationError: one of them is wrong.
    """
    if name is not None and not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may not be typed
        raise ConfigurationError(f"name={name!r} is no text")
    static: dict[str, AttributeValue] = {
        key: to_attribute(value) for key, value in mapping("attributes", attributes or {}).items()
    }
    static |= label_attributes(classification, retention)
    static |= {
        key: value for key, value in ((names.COMPONENT, component), (names.EVENT_TYPE, event_type)) if value is not None
    }
    return Options(
        name=name,
        kind=_kind(kind),
        record_args=_arguments(record_args),
        record_result=record_result,
        measure=measure,
        attributes=static,
        links=_links(links),
        tracer_provider=tracer_provider,
    )


def label_attributes(
    classification: Classification | str | None,
    retention: Retention | str | int | None,
) -> dict[str, str]:
    """The claims that a span carries about its labels; the policy may raise the protection they ask for.

    Raises:
        ConfigurationError: a label that does not exist.
    """
    labels: dict[str, str] = {}
    try:
        if classification is not None:
            labels[names.CLASSIFICATION] = str(Classification.parse(str(classification)))
        if retention is not None:
            labels[names.RETENTION] = str(Retention.parse(str(retention)))
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    return labels


def several(name: str, values: Iterable[T]) -> Iterable[T]:
    """The values of an option that takes several.

    Raises:
        ConfigurationError: it is one text, whose letters would be taken for the values, or one of anything else.
    """
    if isinstance(values, str):
        raise ConfigurationError(f"{name}={values!r} is one text; write {name}=[{values!r}]")
    if not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may not be typed
        raise ConfigurationError(f"{name} takes several; put the {type(values).__name__} in a list")
    return values


def mapping(name: str, values: Mapping[str, T]) -> Mapping[str, T]:
    """The values of an option that takes them by key.

    Raises:
        ConfigurationError: it is no mapping.
    """
    if not isinstance(values, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may not be typed
        raise ConfigurationError(f"{name} takes a mapping, not a {type(values).__name__}")
    return values


def _kind(kind: SpanKind | str) -> SpanKind:
    if isinstance(kind, SpanKind):
        return kind
    try:
        return SpanKind[kind.strip().upper()]
    except KeyError:
        known = ", ".join(known.name.lower() for known in SpanKind)
        raise ConfigurationError(f"span kind {kind!r} is not one of {known}") from None


def _arguments(record_args: bool | Collection[str]) -> bool | frozenset[str]:
    if isinstance(record_args, bool):
        return record_args
    return frozenset(several("record_args", record_args))


def _links(links: Links) -> tuple[LinkSource | LinkFunction, ...]:
    sources: tuple[LinkSource | LinkFunction, ...] = (links,) if callable(links) else tuple(several("links", links))
    for source in sources:
        if not callable(source):
            to_span_context(source)
    return sources


def check_arguments(options: Options, signature: inspect.Signature | None, function_name: str) -> None:
    """See that every argument to be recorded exists.

    Raises:
        ConfigurationError: the function has no such parameter.
    """
    if signature is None or isinstance(options.record_args, bool):
        return
    kinds = {parameter.kind for parameter in signature.parameters.values()}
    unknown = sorted(options.record_args - signature.parameters.keys())
    if unknown and inspect.Parameter.VAR_KEYWORD not in kinds:
        known = ", ".join(signature.parameters) or "none at all"
        raise ConfigurationError(f"record_args names {unknown[0]!r}, but {function_name} has the parameters {known}")
