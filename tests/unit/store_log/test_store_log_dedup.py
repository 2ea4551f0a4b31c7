"""The dedup window: what it recognises, forgets and hands on."""

from __future__ import annotations

import pytest

from spanward.store.clock import ManualClock
from spanward.store.dedup import DedupKeys, DedupWindow
from spanward.store.records import Answer


def answer(clock: ManualClock, key: str = "a", *, rejected: int = 0) -> Answer:
    return Answer(key, clock.now_ns(), rejected)


def window_of(clock: ManualClock, *, seconds: float = 600, max_entries: int = 100) -> DedupWindow:
    return DedupWindow(seconds=seconds, max_entries=max_entries, clock=clock)


def test_dedup_keys_separate_tenants_and_bodies() -> None:
    """No two requests share a key: other tenant, other body, or the border between both moved; nor two key owners."""
    keys = {
        DedupKeys(key).of(tenant, body)
        for key in (b"k" * 32, b"l" * 32)
        for tenant, body in [("a", b"bc"), ("ab", b"c"), ("", b"abc"), ("abc", b""), ("a", b"bd"), ("\ud800", b"x")]
    }
    assert len(keys) == 12
    assert all(len(key) == 64 for key in keys)


def test_dedup_keys_outlive_the_process() -> None:
    """The digest is part of the log's format: what a request was known by yesterday, it is known by today."""
    assert DedupKeys(b"k" * 32).of("default", b"body") == DedupKeys(b"k" * 32).of("default", b"body")
    assert DedupKeys(b"k" * 32).of("default", b"body") == (
        "b9c13436f38d772e417588581b2f54925a2d402976f284ed8ff834aff80a5e51"
    )


def test_dedup_forgets_when_the_window_is_over(clock: ManualClock) -> None:
    """An answer is found until the window's length after its receipt, and not from then on."""
    window = window_of(clock, seconds=10)
    window.add([answer(clock)], 1)
    clock.advance(seconds=9.999)
    assert window.find("a") is not None
    clock.advance(seconds=0.001)
    assert window.find("a") is None
    window.add([], 2)
    assert len(window) == 0


def test_dedup_of_no_window_recognises_nothing(clock: ManualClock) -> None:
    """0 seconds switches it off."""
    window = window_of(clock, seconds=0)
    window.add([answer(clock)], 1)
    assert window.find("a") is None
    assert len(window) == 0


def test_dedup_is_bounded_and_forgets_the_oldest(clock: ManualClock) -> None:
    """More answers than the bound: the newest stay."""
    window = window_of(clock, max_entries=3)
    for key in "abcde":
        window.add([answer(clock, key)], 1)
    assert [window.find(key) is not None for key in "abcde"] == [False, False, True, True, True]


def test_dedup_hands_on_what_only_old_records_hold(clock: ManualClock) -> None:
    """Answers in records up to a sequence, live ones only; once carried over, they are held by the new record."""
    window = window_of(clock, seconds=10)
    window.add([answer(clock, "old")], 1)
    clock.advance(seconds=8)
    window.add([answer(clock, "mid")], 2)
    window.add([answer(clock, "rowless")], 0)
    window.add([answer(clock, "new")], 3)
    clock.advance(seconds=5)
    carried = window.held_only_by(2)
    assert [one.dedup_key for one in carried] == ["mid"]
    window.add(carried, 4)
    assert window.held_only_by(2) == []
    assert [one.dedup_key for one in window.held_only_by(4)] == ["mid", "new"]


def test_dedup_of_a_body_sent_again_after_the_window(clock: ManualClock) -> None:
    """The key comes again when its first answer is out of the window: it is new, and outlives what came in between."""
    window = window_of(clock, seconds=10, max_entries=2)
    window.add([answer(clock, "a")], 1)
    clock.advance(seconds=9)
    window.add([answer(clock, "b")], 2)
    clock.advance(seconds=2)
    window.add([answer(clock, "a", rejected=5)], 3)
    window.add([answer(clock, "c")], 4)
    found = window.find("a")
    assert found is not None
    assert found.rejected == 5
    assert window.find("b") is None


@pytest.mark.parametrize("back", [1.0, 3600.0])
def test_dedup_survives_a_clock_that_goes_back(clock: ManualClock, back: float) -> None:
    """The wall clock was put back: answers from the future are still answers."""
    window = window_of(clock, seconds=10)
    window.add([answer(clock)], 1)
    clock.advance(seconds=-back)
    assert window.find("a") is not None


def test_dedup_clears(clock: ManualClock) -> None:
    """After a purge nothing is recognised."""
    window = window_of(clock)
    window.add([answer(clock)], 1)
    window.clear()
    assert window.find("a") is None


def test_dedup_passes_over_requests_without_a_key(clock: ManualClock) -> None:
    """Records written while nothing was to be recognised have no keys: they are not all one request."""
    window = window_of(clock)
    window.add([answer(clock, ""), answer(clock, "")], 1)
    assert window.find("") is None
    assert window.held_only_by(1) == []
