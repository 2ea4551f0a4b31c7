"""What names a span."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from spanward.sdk import EventReference, link_text
from spanward.sdk._links import to_links, to_span_context
from spanward.store.errors import ConfigurationError

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    "source",
    [
        "",
        "abc",
        f"{TRACE}:{SPAN}0",
        f"{TRACE}-{SPAN}",
        f"{'0' * 32}:{SPAN}",
        f"{TRACE}:{'0' * 16}",
        f"zz-{TRACE}-{SPAN}-01",
        7,
    ],
)
def test_text_that_names_no_span_is_refused(source: Any) -> None:
    """Wrong length, zero ids, other things: an error that shows the form."""
    with pytest.raises(ConfigurationError, match="trace_id:span_id"):
        to_span_context(source)


@pytest.mark.parametrize(
    "source",
    [f"{TRACE}:{SPAN}", f" {TRACE.upper()}:{SPAN} ", f"00-{TRACE}-{SPAN}-00", EventReference(SPAN, TRACE, SPAN)],
)
def test_every_form_names_the_same_span(source: Any) -> None:
    """Hex pair, traceparent, and an event of a Pipeline."""
    assert link_text(to_span_context(source)) == f"{TRACE}:{SPAN}"


def test_spans_and_contexts_name_themselves(provider: TracerProvider) -> None:
    """A live span and its context are taken as they are; doubles are joined, invalid ones left out."""
    span = provider.get_tracer("test").start_span("one")
    links = to_links([span, span.get_span_context(), trace.INVALID_SPAN], "subject")
    assert [link.context for link in links] == [span.get_span_context()]
    assert dict(links[0].attributes or {}) == {"spanward.link.relation": "subject"}
    span.end()
