"""Properties of the text that is recorded of arguments and results."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spanward.sdk._values import MOST_CHARACTERS, shorten, to_text

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner, inner),
    max_leaves=40,
)


@given(values)
def test_any_value_becomes_bounded_well_formed_text(value: Any) -> None:
    """Whatever is recorded: the text can be encoded, is not too long, and is JSON unless it was text or was cut."""
    text = to_text(value)
    text.encode("utf-8")
    assert len(text) <= MOST_CHARACTERS
    if not isinstance(value, str) and not text.endswith("…"):
        json.loads(text)


@given(st.text(alphabet='a@.,; \n"9-', max_size=2000), st.integers(min_value=1, max_value=1500))
def test_a_cut_never_lengthens_and_keeps_the_beginning(text: str, limit: int) -> None:
    """Short text stays; of long text a beginning within the limit, with a mark at its end."""
    cut = shorten(text, limit)
    if len(text) <= limit:
        assert cut == text
    else:
        assert len(cut) <= limit
        assert cut.endswith("…")
        assert text.startswith(cut[:-1])
