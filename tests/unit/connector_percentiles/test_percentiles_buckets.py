"""The bucket arithmetic: exact boundaries, golden numbers, bounded error."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from spanward.connector.percentiles.buckets import (
    HIGHEST_INDEX,
    LOWEST_INDEX,
    PER_DOUBLING,
    SCALE,
    bucket_index,
    lower_bound,
    representative,
)

GOLDEN = {
    1: -1,
    2: 127,
    3: 202,
    4: 255,
    5: 297,
    1_000: 1275,
    1_000_000: 2551,
    2_000_000: 2679,
    1_000_000_000: 3826,
    60_000_000_000: 4582,
    2**62: 7935,
    2**63 - 1: 8063,
}
"""Duration in ns -> bucket index at scale 7."""


def index_of(duration: int) -> int:
    return int(bucket_index(np.array([duration]))[0])


@pytest.mark.parametrize(("duration", "index"), GOLDEN.items())
def test_golden_indexes(duration: int, index: int) -> None:
    """Scenario: well-known durations. Guarantee: their buckets never move, for stored rows rely on them."""
    assert index_of(duration) == index


def test_powers_of_two_close_their_bucket() -> None:
    """Scenario: 2**k and its neighbour. Guarantee: the upper bound is inclusive and the lower exclusive, exactly."""
    for power in range(1, 63):
        assert index_of(2**power) == power * PER_DOUBLING - 1
        assert index_of(2**power + 1) >= power * PER_DOUBLING


def test_indexes_are_exact_by_integer_arithmetic() -> None:
    """Scenario: both neighbours of every bucket boundary of six octaves. Guarantee: base**i < x <= base**(i+1)."""
    for octave in (3, 10, 20, 40, 53, 61):
        for step in range(PER_DOUBLING):
            near = round(2 ** (octave + step / PER_DOUBLING))
            for duration in range(max(near - 1, 1), near + 2):
                index = index_of(duration)
                assert 2**index < duration**PER_DOUBLING <= 2 ** (index + 1)


def test_the_range_of_int64_fits() -> None:
    """Scenario: the smallest and the largest positive duration. Guarantee: they mark the range of indexes."""
    assert (index_of(1), index_of(2**63 - 1)) == (LOWEST_INDEX, HIGHEST_INDEX)


def test_representative_is_within_the_promised_error() -> None:
    """Scenario: every bucket. Guarantee: neither bound is more than 0.3 % away from the bucket's representative."""
    index = np.arange(LOWEST_INDEX, HIGHEST_INDEX + 1)
    middle, low, high = representative(index), lower_bound(index), lower_bound(index + 1)
    assert np.all(np.abs(middle / low - 1) <= 0.0028)
    assert np.all(np.abs(middle / high - 1) <= 0.0028)
    assert float(Fraction(2) ** Fraction(1, 2**SCALE)) == pytest.approx(lower_bound(np.array([1]))[0])
