"""The buckets of an OpenTelemetry exponential histogram at one fixed scale, for durations in whole nanoseconds.

With base = 2 ** (2 ** -SCALE), bucket i holds the durations in (base ** i, base ** (i + 1)]. At scale 7 a bucket is
0.54 % wide, so that its representative is never more than 0.271 % away from what it stands for.

Indexes are exact for every positive int64, powers of two included: the boundaries are computed with integer square
roots and compared as integers, never with a logarithm.
"""

from __future__ import annotations

from math import isqrt
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Int64s: TypeAlias = npt.NDArray[np.int64]
Int32s: TypeAlias = npt.NDArray[np.int32]
Floats: TypeAlias = npt.NDArray[np.float64]

SCALE: Final = 7
PER_DOUBLING: Final = 2**SCALE
"""Buckets between a number and its double."""

LOWEST_INDEX: Final = -1
"""Index of the bucket of 1 ns."""

HIGHEST_INDEX: Final = 63 * PER_DOUBLING - 1
"""Index of the bucket of 2**63 - 1 ns."""

_HIGHEST_BIT: Final = 62


def _lower_bounds() -> Int64s:
    """Entry i is base ** i rounded down, for i in 0..HIGHEST_INDEX: an integer is above base ** i if above entry i."""
    octave: list[int] = []
    for step in range(PER_DOUBLING):
        root = 1 << (step + _HIGHEST_BIT * PER_DOUBLING)
        for _ in range(SCALE):  # 2**SCALE-th root; isqrt of a floor is the floor of the fourth root, and so on
            root = isqrt(root)
        octave.append(root)
    bounds = [value >> (_HIGHEST_BIT - doubling) for doubling in range(_HIGHEST_BIT + 1) for value in octave]
    return np.array(bounds, dtype=np.int64)


_LOWER_BOUNDS: Final = _lower_bounds()


def bucket_index(durations: Int64s) -> Int64s:
    """The bucket of each duration in ns; all of them must be positive."""
    return np.searchsorted(_LOWER_BOUNDS, durations, side="left").astype(np.int64) - 1


def lower_bound(index: Int64s, scale: int = SCALE) -> Floats:
    """The exclusive lower bound of each bucket in ns; the upper one is that of `index + 1`."""
    return np.exp2(index / 2.0**scale)


def representative(index: Int64s) -> Floats:
    """The value in ns that stands for all durations of a bucket.

    It is the harmonic mean of the bounds, the point whose largest relative error over the bucket is smallest:
    (base - 1) / (base + 1) = 0.271 % at either end.
    """
    low, high = lower_bound(index), lower_bound(index + 1)
    return 2.0 * low * high / (low + high)
