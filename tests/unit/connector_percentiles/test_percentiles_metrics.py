"""Span metrics as Prometheus and OpenMetrics parsers see them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus
from prometheus_client.samples import Sample

from spanward.connector.percentiles.metrics import BOUNDS_MS
from spanward.connector.percentiles.state import SketchState

from .support import MS, SCHEMA, batch, spans


def scrape(state: SketchState) -> list[Sample]:
    registry = CollectorRegistry()
    registry.register(state.metrics)
    openmetrics = generate_openmetrics(registry).decode()  # type: ignore[no-untyped-call]  # prometheus_client's own
    assert list(parse_openmetrics(openmetrics))  # type: ignore[no-untyped-call]  # prometheus_client's own
    return [sample for family in parse_prometheus(generate_latest(registry).decode()) for sample in family.samples]


def values(samples: list[Sample], name: str, **labels: str) -> list[float]:
    return [sample.value for sample in samples if sample.name == name and labels.items() <= sample.labels.items()]


def test_names_and_labels_are_the_collectors() -> None:
    """Scenario: one error span of a server. Guarantee: the names and label values that Jaeger's Monitor asks for."""
    state = SketchState(0, max_series=9)
    state.add(batch(1, spans([3.0], status="error"), spans([4.0], kind="7", service=None)))
    samples = scrape(state)
    labels = {
        "service_name": "checkout",
        "span_name": "GET /",
        "span_kind": "SPAN_KIND_SERVER",
        "status_code": "STATUS_CODE_ERROR",
        "tenant": "default",
    }
    assert values(samples, "traces_span_metrics_calls_total", **labels) == [1.0]
    assert values(samples, "traces_span_metrics_duration_milliseconds_sum", **labels) == [3.0]
    assert values(samples, "traces_span_metrics_duration_milliseconds_count", **labels) == [1.0]
    assert values(samples, "traces_span_metrics_calls_total", span_kind="SPAN_KIND_7", service_name="") == [1.0]
    bounds = [sample.labels["le"] for sample in samples if "le" in sample.labels]
    assert bounds == [*(f"{bound}.0" for bound in BOUNDS_MS), "+Inf"] * 2


def test_buckets_are_cumulative_and_right() -> None:
    """Scenario: durations on each bound, just below, well above. Guarantee: a bound includes what equals it."""
    state = SketchState(0, max_series=9)
    state.add(
        batch(1, spans([*BOUNDS_MS, *(bound * 0.99 for bound in BOUNDS_MS), *(bound * 1.01 for bound in BOUNDS_MS)]))
    )
    samples = scrape(state)
    for position, bound in enumerate(BOUNDS_MS):
        counted = values(samples, "traces_span_metrics_duration_milliseconds_bucket", le=f"{float(bound)}")
        assert counted == [2 * (position + 1) + position], bound
    assert values(samples, "traces_span_metrics_duration_milliseconds_bucket", le="+Inf") == [48]


def test_buckets_agree_with_exact_counts() -> None:
    """Scenario: lognormal durations. Guarantee: every bucket is within the sketch's 0.54 % of the exact count."""
    durations = np.random.default_rng(3).lognormal(17, 1.5, 20_000).astype(np.int64)
    rows = spans([0.0] * 20_000)
    rows = rows.set_column(SCHEMA.get_field_index("duration_ns"), SCHEMA.field("duration_ns"), pa.array(durations))
    state = SketchState(0, max_series=9)
    state.add(batch(1, rows))
    samples = scrape(state)
    for bound in BOUNDS_MS:
        (counted,) = values(samples, "traces_span_metrics_duration_milliseconds_bucket", le=f"{float(bound)}")
        assert np.sum(durations <= bound * MS) <= counted <= np.sum(durations <= bound * MS * 1.0055)


def test_counts_go_on_after_a_flush() -> None:
    """Scenario: a scrape, a flush, more spans, a zero. Guarantee: counters go on and never fall."""
    state = SketchState(0, max_series=9)
    state.add(batch(1, spans([1.0])))
    assert values(scrape(state), "traces_span_metrics_calls_total") == [1.0]
    flush = state.take()
    assert flush is not None
    state.landed(flush)
    state.add(batch(2, spans([0.0, 20.0])))
    samples = scrape(state)
    assert values(samples, "traces_span_metrics_calls_total") == [3.0]
    assert values(samples, "traces_span_metrics_duration_milliseconds_bucket", le="2.0") == [2.0]


def test_overflow_shows() -> None:
    """Scenario: more operations than allowed. Guarantee: a gauge of series and a counter of what was merged."""
    state = SketchState(0, max_series=1)
    state.add(batch(1, spans([1.0], name="a"), spans([1.0, 2.0], name="b")))
    samples = scrape(state)
    assert values(samples, "spanward_percentiles_series", tenant="default") == [2.0]
    assert values(samples, "spanward_percentiles_overflow_spans_total") == [2.0]


def test_label_values_are_escaped() -> None:
    """Scenario: a name with quotes, backslash and newline. Guarantee: parsers read it back unchanged."""
    name = 'SELECT "a\\b"\nFROM t'
    state = SketchState(0, max_series=9)
    state.add(batch(1, spans([1.0], name=name)))
    assert values(scrape(state), "traces_span_metrics_calls_total", span_name=name) == [1.0]
