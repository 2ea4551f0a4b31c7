"""One sketch: what it knows of durations, and how far its quantiles are off."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import ExponentialHistogramDataPoint

from spanward.connector.percentiles.buckets import Int64s, bucket_index
from spanward.connector.percentiles.sketch import Sketch
from spanward.sidecar.demo.hotrod import read_requests
from spanward.store.errors import StoreError

HOTROD = Path(__file__).parents[2] / "data" / "hotrod.otlp"
QUANTILES = (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)


def hotrod_durations() -> Int64s:
    durations = list[int]()
    for body in read_requests(HOTROD):
        request = ExportTraceServiceRequest.FromString(body)
        durations += [
            span.end_time_unix_nano - span.start_time_unix_nano
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]
    return np.array(durations)


def distributions() -> dict[str, Int64s]:
    random = np.random.default_rng(20260101)
    return {
        "lognormal": random.lognormal(16, 1, 200_000).astype(np.int64),
        "uniform": random.integers(1, 5_000_000_000, 200_000),
        "heavy tail": (random.pareto(1.1, 200_000) * 1e6 + 1).astype(np.int64),
        "tiny": random.integers(1, 100, 10_000),
        "constant": np.full(1_000, 123_456_789),
        "two values": np.repeat(np.array([1_000, 9_000_000_000]), (999, 1)),
        "one": np.array([42]),
        "hotrod": hotrod_durations(),
    }


@pytest.mark.parametrize("name", distributions())
def test_quantiles_are_within_a_third_of_a_percent(name: str) -> None:
    """Scenario: durations of many shapes, HotROD's own among them. Guarantee: <= 0.3 % off from end to end."""
    durations = distributions()[name]
    sketch = Sketch.of(durations)
    for quantile in QUANTILES:
        exact = float(np.quantile(durations, quantile, method="inverted_cdf"))
        assert sketch.quantile(quantile) == pytest.approx(exact, rel=0.003), quantile


def test_hotrod_is_the_recorded_traffic() -> None:
    """Scenario: the recording. Guarantee: the test above really ran on its 1,582 durations."""
    assert Sketch.of(hotrod_durations()).count == 1582


def test_whole_ranks_are_not_rounded_up() -> None:
    """Scenario: 100 durations, q * 100 a whole number. Guarantee: the rank is that number, not the next one."""
    sketch = Sketch.of(np.arange(1, 101) * 1_000_000)
    for percent in range(1, 101):
        assert sketch.quantile(percent / 100) == pytest.approx(percent * 1e6, rel=0.003)


def test_durations_of_zero_and_below() -> None:
    """Scenario: clocks that went back. Guarantee: counted as zeros, minimum exact, quantiles in order."""
    sketch = Sketch.of(np.array([-5, 0, 0, 1_000, 2_000]))
    assert (sketch.zero_count, sketch.min_ns, sketch.count, sketch.sum_ns) == (3, -5, 5, 2_995)
    assert sketch.quantile(0.0) == -5
    assert sketch.quantile(0.5) == 0
    assert sketch.quantile(0.8) == pytest.approx(1_000, rel=0.003)
    assert Sketch.of(np.array([-7, -6, -5])).quantile(0.5) == -5  # never outside of min..max


def test_an_empty_sketch() -> None:
    """Scenario: no durations. Guarantee: merging changes nothing, quantiles are NaN."""
    empty, full = Sketch.of(np.array([], np.int64)), Sketch.of(np.array([1, 2]))
    assert math.isnan(empty.quantile(0.5))
    assert empty.merge(full) == full == full.merge(empty)
    assert empty.downscale().bucket_counts == ()


def test_a_sum_beyond_int64() -> None:
    """Scenario: durations that add up to more than 2**63. Guarantee: the sum is right all the same."""
    assert Sketch.of(np.full(4, 2**62)).sum_ns == 2**64


@pytest.mark.parametrize("quantile", [-0.01, 1.01, math.nan])
def test_no_quantile(quantile: float) -> None:
    """Scenario: a number outside of 0..1. Guarantee: an error, not a number."""
    with pytest.raises(ValueError, match=r"0\.\.1"):
        Sketch.of(np.array([1])).quantile(quantile)


def test_downscale_is_the_otlp_form() -> None:
    """Scenario: a wide sketch for OTLP. Guarantee: <= 160 buckets, nothing lost, the indexes of the lower scale."""
    durations = np.random.default_rng(1).lognormal(16, 1, 10_000).astype(np.int64)
    histogram = Sketch.of(durations).downscale(160)
    assert len(histogram.bucket_counts) <= 160
    assert sum(histogram.bucket_counts) + histogram.zero_count == histogram.count == 10_000
    lowest = int(bucket_index(np.array([histogram.min_ns]))[0]) >> (7 - histogram.scale)
    assert histogram.offset == lowest
    base = 2 ** (2**-histogram.scale)
    assert base**histogram.offset < histogram.min_ns <= base ** (histogram.offset + 1)
    point = ExponentialHistogramDataPoint(scale=histogram.scale, count=histogram.count)
    point.positive.offset = histogram.offset
    point.positive.bucket_counts.extend(histogram.bucket_counts)
    assert ExponentialHistogramDataPoint.FromString(point.SerializeToString()) == point


def test_downscale_as_far_as_it_goes() -> None:
    """Scenario: 1 ns and 292 years in two buckets. Guarantee: it ends, at a negative scale; one bucket is refused."""
    sketch = Sketch.of(np.array([1, 2**63 - 1]))
    assert sketch.downscale(2).bucket_counts == (1, 1)
    assert sketch.downscale(2).scale == -6
    with pytest.raises(ValueError, match="at least 2"):
        sketch.downscale(1)


def test_a_row_and_back() -> None:
    """Scenario: a stored sketch. Guarantee: the same sketch comes back; another scale is refused with the remedy."""
    sketch = Sketch.of(np.array([-1, 5, 5, 10**12]))
    row = sketch.to_row()
    assert Sketch.from_row(row) == sketch
    assert hash(Sketch.from_row(row)) == hash(sketch)
    with pytest.raises(StoreError, match="scale 5"):
        Sketch.from_row(row | {"scale": 5})
