"""The graph: what it refuses, the order it starts and stops in, and what it tells health."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from spanward.sidecar import config as configuration
from spanward.sidecar.component import Config, Decoded, Encoding, Factory, Host
from spanward.sidecar.config import parse
from spanward.sidecar.graph import Graph
from spanward.sidecar.health import Condition, HealthRegistry
from spanward.store.batch import Batch
from spanward.store.clock import SystemClock
from spanward.store.errors import ConfigurationError, RetryableError
from spanward.store.intake import DecodedGroup, Request, grouped
from spanward.store.layout import intake_folder
from spanward.store.log import LogReader
from spanward.store.records import decode_rows
from spanward.store.span_store import SpanStore
from tests.support.hosts import span_batch

LIFE: list[str] = []


class Empty(Config):
    """No options."""


class Part:
    """A component that writes down its life."""

    def __init__(self, config: Config, host: Host, *arguments: Any) -> None:
        del config, arguments
        self.name = host.logger.name.removeprefix("spanward.")

    async def start(self) -> None:
        LIFE.append(f"start {self.name}")

    async def shutdown(self) -> None:
        LIFE.append(f"stop {self.name}")


class Source(Part):
    """A receiver that hands its ingest to the test."""

    def __init__(self, config: Config, host: Host, ingest: Any) -> None:
        super().__init__(config, host)
        self.ingest = ingest


class Policy(Part):
    """A decoder that makes one span of every body."""

    def decode_all(self, requests: Sequence[Request]) -> DecodedGroup:
        return grouped(
            [Decoded(span_batch(int(one.body), tenant=one.tenant, received_ns=one.received_at_ns)) for one in requests]
        )


class Mark(Part):
    """A processor behind the policy that drops every row."""

    def process(self, batch: Batch) -> Batch:
        return Batch(batch.signal, batch.rows.slice(0, 0))


class Sink(Part):
    """An exporter that counts, and fails by a bug when told to."""

    broken = False

    def __init__(self, config: Config, host: Host) -> None:
        super().__init__(config, host)
        self.rows = self.last = 0

    async def consume(self, batch: Batch) -> None:
        if self.broken:
            raise ZeroDivisionError
        self.rows += len(batch)
        self.last = batch.sequence

    def committed(self) -> int:
        return self.last

    def jobs(self) -> Iterator[tuple[str, float, Any]]:
        async def job() -> None:
            LIFE.append("job")

        yield "count", 0.01, job


class Failing(Part):
    """An extension whose port is taken."""

    async def start(self) -> None:
        await super().start()
        raise ConfigurationError("endpoint 127.0.0.1:1: taken")

    async def shutdown(self) -> None:
        await super().shutdown()
        raise OSError("a bug while letting go")


FACTORIES = {
    ("receiver", "source"): Source,
    ("processor", "policy"): Policy,
    ("processor", "mark"): Mark,
    ("processor", "part"): Part,
    ("exporter", "sink"): Sink,
    ("exporter", "part"): Part,
    ("extension", "part"): Part,
    ("extension", "failing"): Failing,
}


class Plugin(EntryPoint):
    """An entry point that needs no package."""

    def load(self) -> Any:
        kind = self.group.removeprefix("spanward.")
        return Factory(Empty, FACTORIES[kind, self.name])


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the parts of this file are installed."""
    LIFE.clear()
    Sink.broken = False

    def entry_points(group: str) -> EntryPoints:
        kind = group.removeprefix("spanward.")
        return EntryPoints(Plugin(name, "x:y", group) for of, name in FACTORIES if of == kind)

    monkeypatch.setattr(configuration, "entry_points", entry_points)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SpanStore]:
    """A real store."""
    opened = SpanStore.open(tmp_path / "data")
    yield opened
    opened.close()


def graph(
    store: SpanStore, *, processors: str = "[policy]", exporters: str = "[sink]", extensions: str = "[part]"
) -> Graph:
    """A graph of the parts above."""
    text = f"""
receivers: {{source: null}}
processors: {{policy: null, mark: null, part: null}}
exporters: {{sink: null, part: null}}
extensions: {{part: null, failing: null}}
service:
  extensions: {extensions}
  pipelines: {{traces: {{receivers: [source], processors: {processors}, exporters: {exporters}}}}}
"""
    assert yaml.safe_load(text)
    clock = SystemClock()
    return Graph(
        parse(text, source="test"), store, clock=clock, metrics=CollectorRegistry(), health=HealthRegistry(clock)
    )


def ingest_of(made: Graph) -> Any:
    """The way into the pipeline."""
    source = made.components["receiver/source"]
    assert isinstance(source, Source)
    return source.ingest


def sink_of(made: Graph) -> Sink:
    """The exporter."""
    sink = made.components["exporter/sink"]
    assert isinstance(sink, Sink)
    return sink


async def test_consumers_start_before_producers_and_stop_after_them(store: SpanStore) -> None:
    """Scenario: a life of all kinds. Guarantee: extension, exporter, policy, receiver; then the other way round."""
    made = graph(store)
    await made.start()
    assert made._health.ready
    await made.shutdown()
    await made.shutdown()
    assert not made._health.ready
    names = ["extension/part", "exporter/sink", "processor/policy", "receiver/source"]
    life = [event for event in LIFE if event != "job"]
    assert life == [f"start {name}" for name in names] + [f"stop {name}" for name in reversed(names)]


async def test_a_request_reaches_the_exporter_before_its_ack(store: SpanStore) -> None:
    """Scenario: a receiver hands over bytes. Guarantee: when it has the answer, the exporter has the rows."""
    made = graph(store)
    await made.start()
    result = await ingest_of(made)(b"1", Encoding.PROTOBUF, "default")
    assert (result.accepted, result.rejected, sink_of(made).rows) == (1, 0, 1)
    assert (await ingest_of(made)(b"1", Encoding.PROTOBUF, "default")).repeated
    await made.shutdown()


async def test_a_processor_behind_the_policy_changes_what_is_stored(store: SpanStore) -> None:
    """Scenario: a second processor drops all rows. Guarantee: nothing reaches the exporter."""
    made = graph(store, processors="[policy, mark]")
    await made.start()
    assert (await ingest_of(made)(b"1", Encoding.PROTOBUF, "default")).accepted == 0
    assert sink_of(made).rows == 0
    await made.shutdown()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"processors": "[mark]"}, r"'mark' is not a policy.*nothing ungoverned"),
        ({"processors": "[policy, part]"}, "'part' cannot stand behind the policy"),
        ({"exporters": "[part]"}, "part: this component does not consume batches"),
        ({"extensions": "[part, failing]"}, r"^extensions\.failing: endpoint 127.0.0.1:1: taken$"),
    ],
)
async def test_what_cannot_run_is_named_and_everything_let_go(
    store: SpanStore, changes: dict[str, str], words: str
) -> None:
    """Scenario: a wrong pipeline, or a part that cannot start. Guarantee: the reason; what had started is stopped."""
    made = graph(store, **changes)
    with pytest.raises(ConfigurationError, match=words):
        await made.start()
    started = [event.removeprefix("start ") for event in LIFE if event.startswith("start")]
    stopped = [event.removeprefix("stop ") for event in LIFE if event.startswith("stop")]
    assert started
    assert stopped == started[::-1]


async def test_a_consumer_with_a_bug_is_told_to_health(store: SpanStore) -> None:
    """Scenario: an exporter raises what is no SpanwardError. Guarantee: the ack comes; health names the exporter."""
    made = graph(store)
    await made.start()
    Sink.broken = True
    assert (await ingest_of(made)(b"1", Encoding.PROTOBUF, "default")).accepted == 1
    await made._tend("traces", made.pipelines["traces"].intake)
    health = made._health.components()["delivery/traces"]
    assert health.condition is Condition.DEGRADED
    assert "Sink" in health.reason or "sink" in health.reason
    await made.shutdown()


async def test_a_disk_that_refuses_is_told_to_health(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: the disk is full for two requests, then there is room. Guarantee: degraded with the count, then ok."""
    made = graph(store)
    await made.start()
    intake = made.pipelines["traces"].intake
    await made._tend("traces", intake)
    full = RetryableError("No space left on device")
    with monkeypatch.context() as patch:
        patch.setattr("spanward.store.log.IntakeLog.append", lambda *_: (_ for _ in ()).throw(full))
        for body in (b"1", b"2"):
            with pytest.raises(RetryableError):
                await ingest_of(made)(body, Encoding.PROTOBUF, "default")
    await made._tend("traces", intake)
    health = made._health.components()["disk/traces"]
    assert health.condition is Condition.DEGRADED
    assert "2 requests were sent back" in health.reason
    assert (await ingest_of(made)(b"1", Encoding.PROTOBUF, "default")).accepted == 1
    await made._tend("traces", intake)
    assert made._health.components()["disk/traces"].condition is Condition.OK
    await made.shutdown()


async def test_damage_in_the_log_is_told_to_health(store: SpanStore) -> None:
    """Scenario: bytes in the middle of the log were changed. Guarantee: starts, and health says where."""
    made = graph(store)
    Sink.broken = True  # so that the log must keep everything
    await made.start()
    for body in (b"1", b"2", b"3"):
        await ingest_of(made)(body, Encoding.PROTOBUF, "default")
    await made.shutdown()
    (segment,) = intake_folder(store.data, "traces").glob("*.log")
    content = bytearray(segment.read_bytes())
    content[len(content) * 3 // 4] ^= 0xFF
    segment.write_bytes(content)
    Sink.broken = False
    again = graph(store)
    await again.start()
    health = again._health.components()["intake/traces"]
    assert health.condition is Condition.DEGRADED
    assert segment.stem in health.reason
    await asyncio.sleep(0)
    await again.shutdown()


async def test_a_drained_log_keeps_no_spans(store: SpanStore) -> None:
    """Scenario: everything was taken when the sidecar ends. Guarantee: its spans lie in no log that nobody tends."""
    made = graph(store)
    await made.start()
    for body in (b"1", b"2", b"3"):
        await ingest_of(made)(body, Encoding.PROTOBUF, "default")
    log = made.pipelines["traces"].intake._log
    await made.shutdown()
    assert sink_of(made).last == 3
    records = LogReader.open(intake_folder(store.data, "traces"), store.keyring).records(0)
    assert [sequence for sequence, payload in records if decode_rows(payload) is not None] == []
    assert log.last_sequence >= 3
