"""One latency sketch: a sparse OpenTelemetry exponential histogram of durations, merged without loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from spanward.connector.percentiles.buckets import SCALE, Int64s, bucket_index
from spanward.connector.percentiles.quantiles import SketchColumns
from spanward.store.errors import StoreError


@dataclass(frozen=True, slots=True)
class ExponentialHistogram:
    """A sketch as OTLP sends it (ExponentialHistogramDataPoint): one dense run of buckets at a possibly lower scale.

    Attributes:
        scale: bucket i covers (base ** i, base ** (i + 1)] with base = 2 ** (2 ** -scale).
        offset: index of the first entry of `bucket_counts`.
        bucket_counts: of the positive durations; empty when there are none.
    """

    scale: int
    count: int
    sum_ns: int
    min_ns: int
    max_ns: int
    zero_count: int
    offset: int
    bucket_counts: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """The distribution of some durations in nanoseconds.

    Merging is associative and commutative, and a merged sketch equals the sketch of all durations together.

    Attributes:
        count: how many durations.
        sum_ns: their sum, exact.
        min_ns, max_ns: the smallest and the largest; both 0 when `count` is 0.
        zero_count: how many were zero or negative (a clock went back).
        bucket_index: ascending indexes of the buckets that hold something.
        bucket_count: what they hold.
    """

    count: int
    sum_ns: int
    min_ns: int
    max_ns: int
    zero_count: int
    bucket_index: Int64s
    bucket_count: Int64s

    @classmethod
    def of(cls, durations: Int64s) -> Sketch:
        """The sketch of durations in ns."""
        if not len(durations):
            return cls(0, 0, 0, 0, 0, np.zeros(0, np.int64), np.zeros(0, np.int64))
        positive = durations[durations > 0]
        index, counts = np.unique(bucket_index(positive), return_counts=True)
        return cls(
            count=len(durations),
            sum_ns=sum(durations.tolist()),  # Python integers: a sum beyond 2**63 is no reason to be wrong
            min_ns=int(durations.min()),
            max_ns=int(durations.max()),
            zero_count=len(durations) - len(positive),
            bucket_index=index,
            bucket_count=counts.astype(np.int64),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sketch) and self._summary() == other._summary() and self.to_row() == other.to_row()

    def __hash__(self) -> int:
        return hash(self._summary())

    def _summary(self) -> tuple[int, ...]:
        return self.count, self.sum_ns, self.min_ns, self.max_ns, self.zero_count

    def merge(self, other: Sketch) -> Sketch:
        """The sketch of the durations of both."""
        if not self.count or not other.count:
            return self if self.count else other
        both = np.concatenate((self.bucket_index, other.bucket_index))
        index, place = np.unique(both, return_inverse=True)
        counts = np.zeros(len(index), np.int64)
        np.add.at(counts, place, np.concatenate((self.bucket_count, other.bucket_count)))
        return Sketch(
            count=self.count + other.count,
            sum_ns=self.sum_ns + other.sum_ns,
            min_ns=min(self.min_ns, other.min_ns),
            max_ns=max(self.max_ns, other.max_ns),
            zero_count=self.zero_count + other.zero_count,
            bucket_index=index,
            bucket_count=counts,
        )

    def quantile(self, q: float) -> float:
        """The duration of rank ceil(q * count) in ns, within 0.271 %; NaN when the sketch is empty.

        Raises:
            ValueError: `q` is not within 0..1.
        """
        columns = SketchColumns(
            count=np.array([self.count]),
            zero_count=np.array([self.zero_count]),
            min_ns=np.array([self.min_ns]),
            max_ns=np.array([self.max_ns]),
            offsets=np.array([0, len(self.bucket_index)]),
            bucket_index=self.bucket_index,
            bucket_count=self.bucket_count,
        )
        return float(columns.quantile(q)[0])

    def downscale(self, max_buckets: int = 160) -> ExponentialHistogram:
        """The same distribution in at most `max_buckets` dense buckets: halve the scale until they suffice.

        Raises:
            ValueError: `max_buckets` is below 2, which no scale can promise.
        """
        if max_buckets < 2:  # noqa: PLR2004 - 1 ns and 2 ns meet in no bucket at any scale
            raise ValueError(f"an exponential histogram needs at least 2 buckets, not {max_buckets}")
        index, scale = self.bucket_index, SCALE
        while len(index) and index[-1] - index[0] >= max_buckets:
            index, scale = index >> 1, scale - 1
        offset = int(index[0]) if len(index) else 0
        dense = np.zeros(int(index[-1]) - offset + 1 if len(index) else 0, np.int64)
        np.add.at(dense, index - offset, self.bucket_count)
        return ExponentialHistogram(
            scale, self.count, self.sum_ns, self.min_ns, self.max_ns, self.zero_count, offset, tuple(dense.tolist())
        )

    def to_row(self) -> dict[str, Any]:
        """The sketch's columns of a row of `spanward.store.schema.PERCENTILES`."""
        return {
            "scale": SCALE,
            "count": self.count,
            "sum_ns": float(self.sum_ns),
            "min_ns": self.min_ns,
            "max_ns": self.max_ns,
            "zero_count": self.zero_count,
            "bucket_index": self.bucket_index.tolist(),
            "bucket_count": self.bucket_count.tolist(),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Sketch:
        """The inverse of `to_row` (a sum above 2**53 ns, 104 days, comes back rounded to a double).

        Raises:
            StoreError: the row was written at another scale.
        """
        check_scale(int(row["scale"]))
        return cls(
            count=int(row["count"]),
            sum_ns=int(row["sum_ns"]),
            min_ns=int(row["min_ns"]),
            max_ns=int(row["max_ns"]),
            zero_count=int(row["zero_count"]),
            bucket_index=np.array(row["bucket_index"], np.int64),
            bucket_count=np.array(row["bucket_count"], np.int64),
        )


def check_scale(scale: int) -> None:
    """Refuse a stored sketch that this version cannot merge.

    Raises:
        StoreError: `scale` is not SCALE.
    """
    if scale != SCALE:
        raise StoreError(
            f"table percentiles: a row of scale {scale} cannot be merged with scale {SCALE}; "
            "read it with the version of spanward that wrote it"
        )
