"""ReadableSpans with whatever an application can put into them, for property tests."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Final

from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from spanward.store.text import well_formed

_STATES: Final = st.sampled_from([TraceState(), TraceState([("vendor", "one"), ("b", "2")])])
_ODD_STATE: Final = TraceState([("a", "alice@example.com"), ("b", "2")])
_TIMES: Final = st.integers(0, 2**63 - 1) | st.integers(1_763_700_000_000_000_000, 1_763_700_060_000_000_000)


class Number(int):
    """A subclass of a built-in type, as HTTPStatus is."""


ODD: Final[st.SearchStrategy[Any]] = st.one_of(
    st.none(),
    st.binary(max_size=8),
    st.just(float("nan")),
    st.integers(2**63, 2**70),
    st.sampled_from(["\ud800", "jo@example.com \udc80", Number(3), object(), {"k": "jo@example.com"}, ["a", None, 2]]),
)
"""Values that OTLP or an encoder may have no form for."""


def spans(
    texts: st.SearchStrategy[str], keys: st.SearchStrategy[str], claims: st.SearchStrategy[dict[str, Any]]
) -> st.SearchStrategy[Sequence[ReadableSpan]]:
    """Batches as an SDK hands them to an exporter, from one or two resources and scopes.

    Args:
        texts: what is anywhere in them.
        keys: of their attributes.
        claims: attributes that spans and resources have besides.
    """
    return st.one_of(
        _spans(texts.map(well_formed), keys.map(well_formed), claims, st.nothing(), _STATES),
        _spans(texts, keys, claims, ODD, _STATES | st.just(_ODD_STATE)),
    )


def _spans(
    texts: st.SearchStrategy[str],
    keys: st.SearchStrategy[str],
    claims: st.SearchStrategy[dict[str, Any]],
    odd: st.SearchStrategy[Any],
    states: st.SearchStrategy[TraceState],
) -> st.SearchStrategy[Sequence[ReadableSpan]]:
    contexts = st.builds(
        SpanContext,
        st.integers(1, 2**128 - 1),
        st.integers(1, 2**64 - 1),
        st.booleans(),
        st.sampled_from([TraceFlags(0), TraceFlags(1)]),
        states,
    )
    scalars: st.SearchStrategy[Any] = st.one_of(
        texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), odd
    )
    values = scalars | st.lists(scalars, max_size=3).map(tuple) | st.lists(texts, max_size=3)
    attributes = st.dictionaries(keys, values, max_size=6)
    claiming = st.builds(operator.or_, attributes, claims)
    resources = st.builds(Resource, attributes | claiming, texts)
    scopes = st.none() | st.builds(InstrumentationScope, texts, st.none() | texts, st.none() | texts, attributes)
    events = st.builds(Event, texts, attributes, _TIMES)
    links = st.builds(Link, contexts, attributes)
    statuses = st.just(Status(StatusCode.OK)) | st.builds(Status, st.just(StatusCode.ERROR), st.none() | texts)

    def batch(shared: tuple[list[Resource], list[InstrumentationScope | None]]) -> st.SearchStrategy[Any]:
        return st.lists(
            st.builds(
                ReadableSpan,
                name=texts,
                context=contexts,
                parent=st.none() | contexts,
                resource=st.sampled_from(shared[0]),
                attributes=st.none() | attributes | claiming,
                events=st.lists(events, max_size=2),
                links=st.lists(links, max_size=2),
                kind=st.sampled_from(SpanKind),
                status=statuses,
                start_time=st.none() | _TIMES,
                end_time=st.none() | _TIMES,
                instrumentation_scope=st.sampled_from(shared[1]),
            ),
            min_size=1,
            max_size=4,
        )

    return st.tuples(st.lists(resources, min_size=1, max_size=2), st.lists(scopes, min_size=1, max_size=2)).flatmap(
        batch
    )
