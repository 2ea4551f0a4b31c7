"""Sketches against exact arithmetic, for all durations that hypothesis can think of."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from spanward.connector.percentiles.aggregate import KEYS, PARTIALS, SERIES, aggregate, merge
from spanward.connector.percentiles.buckets import PER_DOUBLING, bucket_index
from spanward.connector.percentiles.sketch import Sketch

INT64 = st.integers(-(2**62), 2**63 - 1) | st.integers(-3, 3000) | st.integers(0, 62).map(lambda power: 2**power)
DURATIONS = st.lists(INT64, max_size=60).map(lambda values: np.array(values, np.int64))

SPAN = st.fixed_dictionaries(
    {
        "tenant": st.sampled_from(["default", "acme"]),
        "service_name": st.sampled_from([None, "", "checkout"]),
        "name": st.sampled_from(["GET /", "POST /"]),
        "kind": st.sampled_from(["server", "client"]),
        "status_code": st.sampled_from(["unset", "error"]),
        "start_unix_nano": st.integers(0, 300_000_000_000),
        "duration_ns": st.integers(-10, 2**40),
    },
)
SCHEMA = pa.schema(
    [(name, pa.string()) for name in SERIES] + [("start_unix_nano", pa.int64()), ("duration_ns", pa.int64())]
)
SPANS = st.lists(SPAN, max_size=40).map(lambda rows: pa.Table.from_pylist(rows, SCHEMA))


@given(st.integers(1, 2**63 - 1))
def test_index_definition(duration: int) -> None:
    """Scenario: any duration. Guarantee: base**index < duration <= base**(index + 1), in integers."""
    index = int(bucket_index(np.array([duration]))[0])
    raised = duration**PER_DOUBLING
    assert (2**index if index >= 0 else 0) < raised <= 2 ** (index + 1)


@given(DURATIONS, DURATIONS, DURATIONS)
def test_merge_is_exact_associative_and_commutative(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> None:
    """Scenario: three piles of durations. Guarantee: merged in any order they are the sketch of the whole pile."""
    one, two, three = Sketch.of(a), Sketch.of(b), Sketch.of(c)
    assert one.merge(two).merge(three) == one.merge(two.merge(three)) == Sketch.of(np.concatenate((a, b, c)))
    assert one.merge(two) == two.merge(one)


@given(DURATIONS.filter(len), st.floats(0, 1))
def test_quantile_error(durations: np.ndarray, quantile: float) -> None:
    """Scenario: any durations, any quantile. Guarantee: within 0.3 % of the duration of that rank."""
    exact = max(float(np.quantile(durations, quantile, method="inverted_cdf")), -1.0)
    estimate = Sketch.of(durations).quantile(quantile)
    ranks = np.sort(durations)
    assert ranks[0] <= estimate <= ranks[-1] or estimate == float(ranks[-1])
    if exact > 0:
        assert abs(estimate - exact) <= 0.003 * exact


@given(SPANS, SPANS)
def test_partials_add_up(left: pa.Table, right: pa.Table) -> None:
    """Scenario: spans in two batches. Guarantee: merged partials equal those of one batch, and each its own sketch."""
    together = aggregate(pa.concat_tables([left, right]))
    apart = merge(pa.concat_tables([aggregate(left), aggregate(right)]))
    assert together.schema == apart.schema == PARTIALS
    assert _rows(together) == _rows(apart) == _expected(pa.concat_tables([left, right]))


def _rows(partials: pa.Table) -> dict[tuple[object, ...], dict[str, object]]:
    return {tuple(row.pop(name) for name in KEYS): row for row in partials.to_pylist()}


def _expected(spans: pa.Table) -> dict[tuple[object, ...], dict[str, object]]:
    piles: dict[tuple[object, ...], list[int]] = {}
    for span in spans.to_pylist():
        end = span["start_unix_nano"] + span["duration_ns"]
        minute = pa.scalar(end // 60_000_000_000 * 60_000_000, pa.timestamp("us", tz="UTC")).as_py()
        key = (*((span[name] or "") for name in SERIES), minute)
        piles.setdefault(key, []).append(span["duration_ns"])
    return {key: Sketch.of(np.array(pile, np.int64)).to_row() for key, pile in piles.items()}
