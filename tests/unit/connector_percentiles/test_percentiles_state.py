"""What the connector holds in memory: bounds, order, and no span lost or doubled between memory and table."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from spanward.connector.percentiles import state as state_module
from spanward.connector.percentiles.aggregate import PARTIALS
from spanward.connector.percentiles.series import OTHER
from spanward.connector.percentiles.state import SketchState

from .support import MS, START_NS, batch, spans


def total(partials: Any) -> int:
    return sum(partials["count"].to_pylist())


def held_above(state: SketchState, sequence: int) -> Any:
    partials = state.held(sequence)
    assert partials is not None
    return partials


def test_a_batch_is_counted_once() -> None:
    """Scenario: a replay hands over what is in the table, and a batch twice. Guarantee: both are ignored."""
    state = SketchState(5, max_series=10)
    for sequence in (4, 5, 6, 6, 7):
        state.add(batch(sequence, spans([1.0])))
    flush = state.take()
    assert flush is not None
    assert (flush.first, flush.last, total(flush.partials)) == (6, 7, 2)


def test_committed_follows_the_table() -> None:
    """Scenario: spans wait, are taken, land. Guarantee: committed() moves only when they are in the table."""
    state = SketchState(5, max_series=10)
    assert state.committed() == 5
    state.add(batch(6, spans([1.0])))
    assert state.committed() == 5
    flush = state.take()
    assert flush is not None
    assert state.committed() == 5
    state.landed(flush)
    assert state.committed() == 6
    assert state.take() is None


def test_batches_without_rows_do_not_hold_the_log() -> None:
    """Scenario: records without spans. Guarantee: nothing to flush, and the log may go."""
    state = SketchState(0, max_series=10)
    state.add(batch(1))
    assert (state.committed(), state.take()) == (1, None)


def test_a_flush_that_failed_comes_again_unchanged() -> None:
    """Scenario: new spans come while a flush is under way. Guarantee: the same flush until it landed, then the rest."""
    state = SketchState(0, max_series=10)
    state.add(batch(1, spans([1.0])))
    first = state.take()
    state.add(batch(2, spans([2.0, 3.0])))
    assert state.take() is first
    assert first is not None
    state.landed(first)
    second = state.take()
    assert second is not None
    assert (second.first, second.last, total(second.partials)) == (2, 2, 2)


def test_held_is_what_the_table_lacks() -> None:
    """Scenario: a reader asks at each step of a flush. Guarantee: table and memory together hold each span once."""
    state = SketchState(0, max_series=10)
    assert held_above(state, 0).equals(PARTIALS.empty_table())
    state.add(batch(1, spans([1.0])))
    flush = state.take()
    assert flush is not None
    state.add(batch(2, spans([1.0, 2.0])))
    assert total(state.held(0)) == 3  # nothing in the table yet
    assert total(state.held(1)) == 2  # committed, but the connector has not heard of it
    state.landed(flush)
    assert state.held(0) is None  # that moment has passed
    assert total(state.held(1)) == 2


def test_many_runs_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: many folds before a flush. Guarantee: memory follows the operations, not the folds."""
    monkeypatch.setattr(state_module, "_MAX_RUNS", 2)
    state = SketchState(0, max_series=10)
    for sequence in range(1, 8):
        state.add(batch(sequence, spans([float(sequence)])))
        state.fold()
    assert state.held_partials <= 3
    assert total(state.held(0)) == 7


def test_a_fold_that_fails_keeps_the_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: the arithmetic fails once. Guarantee: nothing is lost, the next fold has it all."""
    state = SketchState(0, max_series=10)
    state.add(batch(1, spans([1.0, 2.0])))
    with monkeypatch.context() as patch:
        patch.setattr(state_module, "aggregate", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            state.fold()
    assert (state.waiting_rows, total(state.held(0)), state.waiting_rows) == (2, 2, 0)


def test_series_are_bounded() -> None:
    """Scenario: every span has its own name. Guarantee: overflow becomes one operation per service, then one at all."""
    state = SketchState(0, max_series=4)
    state.add(batch(1, *(spans([1.0], name=f"GET /{number}") for number in range(10))))
    held = held_above(state, 0)
    names = dict(zip(held["name"].to_pylist(), held["count"].to_pylist(), strict=True))
    assert names[OTHER] == 6
    assert len(names) == 5
    state.add(batch(2, *(spans([1.0], service=f"svc-{number}") for number in range(20))))
    state.fold()
    assert state.limit.counts()["default"] <= 4 * 1.25 + 2
    assert state.limit.overflow_spans == 26
    assert (OTHER, OTHER) in set(
        zip(held_above(state, 0)["service_name"].to_pylist(), held_above(state, 0)["name"].to_pylist(), strict=True)
    )
    assert total(state.held(0)) == 30


def test_the_bound_is_each_tenants_own() -> None:
    """Scenario: one tenant overflows. Guarantee: another tenant's operations keep their names."""
    state = SketchState(0, max_series=1)
    state.add(batch(1, spans([1.0], name="a"), spans([1.0], name="b"), spans([1.0], tenant="acme", name="c")))
    held = held_above(state, 0)
    assert set(zip(held["tenant"].to_pylist(), held["name"].to_pylist(), strict=True)) == {
        ("default", "a"),
        ("default", OTHER),
        ("acme", "c"),
    }


def test_minutes_are_those_of_span_end() -> None:
    """Scenario: spans around a full minute. Guarantee: each belongs to the minute in which it ended."""
    state = SketchState(0, max_series=9)
    state.add(batch(1, spans([1.0], start_ns=START_NS - 2 * MS), spans([1.0], start_ns=START_NS - MS)))
    minutes = [minute.isoformat() for minute in held_above(state, 0)["minute"].to_pylist()]
    assert sorted(minutes) == ["2025-12-31T23:59:00+00:00", "2026-01-01T00:00:00+00:00"]


def test_adding_while_others_fold_and_read() -> None:
    """Scenario: threads fold, read and flush while batches come in. Guarantee: every span is counted exactly once."""
    state, landed, done = SketchState(0, max_series=9), [], threading.Event()

    def flush() -> None:
        while not done.is_set():
            if (work := state.take()) is not None:
                landed.append(total(work.partials))
                state.landed(work)

    def read() -> None:
        while not done.is_set():
            state.held(0)

    threads = [threading.Thread(target=work) for work in (flush, read, read)]
    for thread in threads:
        thread.start()
    for sequence in range(1, 301):
        state.add(batch(sequence, spans([1.0, 2.0])))
    done.set()
    for thread in threads:
        thread.join()
    rest = state.held(state.committed()) if state.committed() < 300 else None
    assert sum(landed) + (total(rest) if rest is not None else 0) == 600
