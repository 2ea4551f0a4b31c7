"""Quantiles of many sketches in one go."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spanward.connector.percentiles.buckets import Floats, Int64s, representative


@dataclass(frozen=True, slots=True)
class SketchColumns:
    """Sketches side by side; those of n sketches have n entries, the buckets of sketch k are offsets[k]:offsets[k+1].

    Attributes:
        count: durations in each sketch.
        zero_count: of these, how many were zero or negative.
        min_ns, max_ns: the smallest and the largest, exact.
        offsets: n + 1 positions in the bucket arrays.
        bucket_index, bucket_count: the buckets that hold something, ascending within a sketch.
    """

    count: Int64s
    zero_count: Int64s
    min_ns: Int64s
    max_ns: Int64s
    offsets: Int64s
    bucket_index: Int64s
    bucket_count: Int64s

    def quantile(self, q: float) -> Floats:
        """The `q`-quantile of every sketch in ns; NaN for an empty one.

        It is the duration of rank ceil(q * count) (the inverted cumulative distribution; no interpolation), within
        0.271 % of it. The first and the last rank are exact.

        Raises:
            ValueError: `q` is not within 0..1.
        """
        if not 0.0 <= q <= 1.0:
            raise ValueError(f"a quantile lies within 0..1, not {q}")
        rank = _ranks(q, self.count)
        values = np.where(rank <= self.zero_count, 0.0, self._in_buckets(rank - self.zero_count))
        values = np.clip(values, self.min_ns, self.max_ns)
        values = np.where(rank <= 1, self.min_ns, np.where(rank >= self.count, self.max_ns, values))
        return np.where(self.count > 0, values, np.nan)

    def _in_buckets(self, rank: Int64s) -> Floats:
        if not len(self.bucket_count):
            return np.zeros(len(self.count))
        running = np.cumsum(self.bucket_count)
        before = np.concatenate(([0], running))[self.offsets[:-1]]
        position = np.searchsorted(running, before + rank, side="left")
        return representative(self.bucket_index[np.minimum(position, len(running) - 1)])


def _ranks(q: float, count: Int64s) -> Int64s:
    """ceil(q * count), where q * count is a whole number also if the product of the floats is a bit above it."""
    rank: Int64s = np.ceil(q * count * (1.0 - 2.0**-51)).astype(np.int64)
    return np.maximum(rank, 1)
