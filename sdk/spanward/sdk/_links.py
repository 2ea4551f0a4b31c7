"""Lineage: what a span was made from, as span links.

A source is whatever names a span: the span itself, its SpanContext, an object with such a `link` (OperationResult has
one), or text, `trace_id:span_id` in hex or a W3C `traceparent`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Protocol, TypeAlias, runtime_checkable

from opentelemetry.trace import Link, Span, SpanContext, TraceFlags

from spanward.sdk import attributes
from spanward.store.errors import ConfigurationError


@runtime_checkable
class Linkable(Protocol):
    """Anything that names its span as `trace_id:span_id`."""

    @property
    def link(self) -> str:
        """`trace_id:span_id` in hex."""
        ...


LinkSource: TypeAlias = "SpanContext | Span | Linkable | str"

_PAIR: Final = re.compile(r"(?P<trace>[0-9a-f]{32}):(?P<span>[0-9a-f]{16})")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2}).*")


def to_span_context(source: LinkSource) -> SpanContext:
    """The span that a source names.

    Raises:
        ConfigurationError: it names none; the message says what would.
    """
    if isinstance(source, SpanContext):
        return source
    if isinstance(source, Span):
        return source.get_span_context()
    if isinstance(source, Linkable):
        return _parse(source.link)
    return _parse(source)


def _parse(text: object) -> SpanContext:
    word = str(text).strip().lower()
    match = _PAIR.fullmatch(word) or _TRACEPARENT.fullmatch(word)
    if match is not None:
        flags = TraceFlags(int(match.groupdict().get("flags") or "01", 16))
        context = SpanContext(int(match["trace"], 16), int(match["span"], 16), is_remote=True, trace_flags=flags)
        if context.is_valid:
            return context
    raise ConfigurationError(f"link {str(text)[:80]!r} names no span; write 'trace_id:span_id' in hex, 32:16 digits")


def to_links(sources: Iterable[LinkSource], relation: str = "parent") -> list[Link]:
    """Links to the sources, each once, in their order; invalid contexts (of spans that do not record) are left out.

    Raises:
        ConfigurationError: a source names no span.
    """
    contexts = {(context.trace_id, context.span_id): context for context in map(to_span_context, sources)}
    return [Link(context, {attributes.LINK_RELATION: relation}) for context in contexts.values() if context.is_valid]


def link_text(context: SpanContext) -> str:
    """A span's name as `trace_id:span_id`, the form that `to_span_context` reads."""
    return f"{context.trace_id:032x}:{context.span_id:016x}"
