"""The small modules everything builds on: enum words, clocks, errors, batches, the house itself."""

from __future__ import annotations

import datetime as dt
import tomllib
from pathlib import Path

import pyarrow as pa
import pytest

from spanward.store import schema
from spanward.store.batch import Batch, Signal
from spanward.store.clock import ManualClock, SystemClock, utc_date
from spanward.store.errors import LogDamagedError, OverloadedError, RetryableError, SpanwardError

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("words", [schema.KINDS, schema.STATUSES])
@pytest.mark.parametrize("number", [0, 1, 2, 5, 17, 2_147_483_647, -3])
def test_an_enum_number_survives_its_word(words: tuple[str, ...], number: int) -> None:
    """Scenario: known and future OTLP enum numbers. Guarantee: the word leads back to the number."""
    assert schema.enum_number(words, schema.enum_word(words, number)) == number


def test_an_unknown_word_is_refused() -> None:
    """Scenario: a damaged kind column. Guarantee: ValueError."""
    with pytest.raises(ValueError, match="nonsense"):
        schema.enum_number(schema.KINDS, "nonsense")


def test_every_column_is_either_clear_or_payload() -> None:
    """Scenario: somebody adds a column. Guarantee: clear columns are named on purpose; all others are encrypted."""
    assert set(schema.SPANS.names) >= schema.CLEAR_COLUMNS
    assert set(schema.PAYLOAD_COLUMNS) == set(schema.SPANS.names) - schema.CLEAR_COLUMNS
    assert set(schema.STATISTICS_COLUMNS) <= schema.CLEAR_COLUMNS
    assert {"attributes_str", "events", "links", "resource", "user_id", "url_full"} <= set(schema.PAYLOAD_COLUMNS)


def test_clocks_agree_on_the_day() -> None:
    """Scenario: a manual clock is moved. Guarantee: date, wall clock and monotonic clock move together."""
    clock = ManualClock()
    assert utc_date(clock.now_ns()) == dt.date(2026, 1, 1)
    before = clock.monotonic()
    clock.advance(days=1, seconds=5)
    assert utc_date(clock.now_ns()) == dt.date(2026, 1, 2)
    assert clock.monotonic() - before == pytest.approx(86_405)
    assert SystemClock().now_ns() > clock.now_ns()
    assert SystemClock().monotonic() <= SystemClock().monotonic()


def test_errors_carry_what_the_caller_needs() -> None:
    """Scenario: overload and damage. Guarantee: the error says when to come back, and where the damage is."""
    overloaded = OverloadedError("full", retry_after=2.5, remainder=[1])
    assert isinstance(overloaded, RetryableError)
    assert isinstance(overloaded, SpanwardError)
    assert (overloaded.retry_after, overloaded.remainder) == (2.5, [1])
    damage = LogDamagedError(Path("a.log"), 7, 9, "bad checksum")
    assert str(damage) == "a.log: 9 bytes at offset 7 cannot be read: bad checksum"


def test_a_batch_knows_its_length() -> None:
    """Scenario: an empty batch. Guarantee: len() is the number of rows."""
    rows = pa.RecordBatch.from_pylist([], schema=schema.SPANS)
    assert len(Batch(Signal.TRACES, rows)) == 0


def test_no_stray_package_file_hides_the_siblings() -> None:
    """Scenario: somebody adds spanward/__init__.py to a root. Guarantee: this fails before every import does."""
    assert not list(ROOT.glob("*/spanward/__init__.py"))
    assert not list(ROOT.glob("*/*/spanward/__init__.py"))


def test_every_subpackage_is_typed() -> None:
    """Scenario: a user type-checks against spanward. Guarantee: each root ships py.typed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    roots = [ROOT / name / "spanward" / name for name in project["tool"]["hatch"]["build"]["dev-mode-dirs"]]
    assert len(roots) >= 8
    assert [path for path in roots if not (path / "py.typed").exists()] == []
