"""Bounds in the Delta log: readers skip files on their word, so they must hold for whatever is stored."""

from __future__ import annotations

import datetime as dt
import json
import math

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from spanward.store._statistics import Statistics, lower_bound, upper_bound

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
ALMOST_LAST = st.text(st.sampled_from(["\U0010ffff", "\U0010fffe", "z"]), min_size=28, max_size=50)
MOST_MICROSECONDS = (2**63 - 1) // 1000


def bounds(column: pa.Array) -> tuple[object, object] | None:
    statistics = Statistics(["c"])
    for piece in (column[: len(column) // 2], column[len(column) // 2 :]):
        statistics.add(pa.table({"c": piece}))
    document = json.loads(statistics.json())
    assert document["numRecords"] == len(column)
    assert document["nullCount"] == {"c": column.null_count}
    assert document["minValues"].keys() == document["maxValues"].keys()
    return (document["minValues"]["c"], document["maxValues"]["c"]) if document["minValues"] else None


@settings(deadline=None)
@given(TEXT | ALMOST_LAST)
def test_text_bounds_hold(text: str) -> None:
    """Bounds of any text enclose it in the order of its UTF-8 bytes, and are short unless only a long one would do."""
    low, high = lower_bound(text), upper_bound(text)
    assert low.encode() <= text.encode() <= high.encode()
    assert len(low) <= 32
    assert len(high) <= 33 or high == text


@settings(deadline=None)
@given(st.lists(st.none() | TEXT | ALMOST_LAST, max_size=8))
def test_text_column(values: list[str | None]) -> None:
    """Each value of a column lies within its bounds; a column without values has none."""
    found = bounds(pa.array(values, pa.string()))
    present = [value for value in values if value is not None]
    assert (found is None) == (not present)
    for value in present:
        assert found is not None
        assert str(found[0]).encode() <= value.encode() <= str(found[1]).encode()


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=8))
def test_integer_column(values: list[int | None]) -> None:
    """Integers of the whole range keep every digit."""
    present = [value for value in values if value is not None]
    expected = (min(present), max(present)) if present else None
    assert bounds(pa.array(values, pa.int64())) == expected


@settings(deadline=None)
@given(st.lists(st.none() | st.integers(0, MOST_MICROSECONDS), max_size=8))
def test_time_column(values: list[int | None]) -> None:
    """Times, to the last microsecond that OTLP can name, are exact and in Delta's form."""
    found = bounds(pa.array(values, pa.timestamp("us", tz="UTC")))
    present = [value for value in values if value is not None]
    if not present:
        assert found is None
        return
    assert found is not None
    for text, value in zip(found, (min(present), max(present)), strict=True):
        assert isinstance(text, str)
        assert text.endswith("Z")
        epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        assert dt.datetime.fromisoformat(text) - epoch == dt.timedelta(microseconds=value)


@settings(deadline=None)
@given(st.lists(st.none() | st.floats(), max_size=8))
def test_float_column(values: list[float | None]) -> None:
    """Bounds of doubles hold for all of them; with NaN or an infinity among them there are none."""
    found = bounds(pa.array(values, pa.float64()))
    present = [value for value in values if value is not None]
    if not present or not all(map(math.isfinite, present)):
        assert found is None
    else:
        assert found == (min(present), max(present))


@settings(deadline=None)
@given(st.lists(st.none() | st.dates(), max_size=8))
def test_date_column(values: list[dt.date | None]) -> None:
    """Days are written as ISO dates."""
    present = [value for value in values if value is not None]
    expected = (min(present).isoformat(), max(present).isoformat()) if present else None
    assert bounds(pa.array(values, pa.date32())) == expected
