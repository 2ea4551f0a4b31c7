"""The compiled kernel finds in a text what the Python twin finds."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanward.processor.policy.privacy.detect import find
from spanward.store.text import well_formed
from tests.support.planted_texts import FRAGMENTS, PLANTED_TEXTS

native = pytest.importorskip("spanward.native", reason="the kernel is not built: `make kernel` builds it (needs Rust)")


@given(PLANTED_TEXTS.map(well_formed))
@example("a" * 70 + "@example.com")
@example("+1 415 555 2671 " * 20)
@example("alice\uff20example.com")
@settings(max_examples=1500, deadline=None)
def test_finds_are_the_same(text: str) -> None:
    """Any text: the same types at the same places, with the same values."""
    expected = [(str(h.entity), h.start, h.end, well_formed(h.value), h.token) for h in find(text)]
    assert native.find(text) == expected


@given(st.sampled_from(FRAGMENTS), st.integers(1, 400))
@settings(max_examples=60, deadline=None)
def test_repeated_text_is_found_alike(fragment: str, count: int) -> None:
    """One fragment over and over: neither side loses its way, whatever the repetition joins."""
    text = well_formed(fragment * count)
    assert native.find(text) == [(str(h.entity), h.start, h.end, well_formed(h.value), h.token) for h in find(text)]
