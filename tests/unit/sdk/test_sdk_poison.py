"""One span that no encoder could write, among good ones: it must not cost its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.trace import Status, StatusCode, Tracer

from spanward.sdk import Pipeline, configure
from spanward.store.errors import ConfigurationError
from spanward.store.span_store import SpanStore
from tests.unit.sdk.sdk_collector import Collector


def status(tracer: Tracer) -> None:
    span = tracer.start_span("bad")
    span.set_status(Status(StatusCode.ERROR, "half \ud800 a pair"))
    span.end()


def event(tracer: Tracer, name: str = "e", timestamp: int | None = None) -> None:
    span = tracer.start_span("bad")
    span.add_event(name, timestamp=timestamp)
    span.end()


BAD: dict[str, tuple[Callable[[Tracer], object], list[str]]] = {
    "start before 1970": (lambda tracer: tracer.start_span("bad", start_time=-5).end(), []),
    "start past 2262": (lambda tracer: tracer.start_span("bad", start_time=2**63).end(), []),
    "end past 2262": (lambda tracer: tracer.start_span("bad").end(2**64), []),
    "event before 1970": (lambda tracer: event(tracer, timestamp=-1), []),
    "event past 2262": (lambda tracer: event(tracer, timestamp=2**64), []),
    "half a pair in the name": (lambda tracer: tracer.start_span("bad\ud800").end(), ["bad\ufffd"]),
    "half a pair in the status": (status, ["bad"]),
    "half a pair in an event": (lambda tracer: event(tracer, "e\ud800"), ["bad"]),
}


@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.parametrize("to_lake", [False, True], ids=["otlp", "lake"])
def test_a_bad_span_does_not_cost_its_neighbours(
    http_endpoint: Collector, tmp_path: Path, name: str, *, to_lake: bool
) -> None:
    """Good spans before and after it arrive; of itself what can be mended does, and the rest is left out."""
    make, kept = BAD[name]
    destination = (
        configure(lake=tmp_path / "lake", set_global=False)
        if to_lake
        else configure(http_endpoint.endpoint, protocol="http/protobuf", set_global=False)
    )
    with destination as handle:
        tracer = handle.tracer()
        tracer.start_span("first").end()
        make(tracer)
        tracer.start_span("last").end()
    names = lake_names(tmp_path / "lake") if to_lake else [span.name for span in http_endpoint.spans()]
    assert sorted(names) == sorted(["first", *kept, "last"])


def lake_names(folder: Path) -> list[str]:
    store = SpanStore.open(folder, read_only=True)
    try:
        return [row["name"] for row in store.snapshot().to_table(columns=["name"], filter=None).to_pylist()]
    finally:
        store.close()


@pytest.mark.parametrize("timestamp", [-1, 2**63, 2**64])
async def test_a_time_that_is_none_is_refused_by_the_pipeline(http_endpoint: Collector, timestamp: int) -> None:
    """The caller is told, at once, and the events in the queue are not lost with it."""
    async with Pipeline(http_endpoint.endpoint, protocol="http/protobuf") as pipeline:
        await pipeline.collect_event("a.b", "good")
        with pytest.raises(ConfigurationError, match="timestamp"):
            await pipeline.collect_event("a.b", "bad", timestamp=timestamp)
    assert [span.name for span in http_endpoint.spans()] == ["good"]
