"""The connector on a real lake: through Delta, through the intake log, through another process's eyes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from prometheus_client import CollectorRegistry

from spanward.connector.percentiles.config import PercentilesConfig
from spanward.connector.percentiles.percentiles import PercentilesConnector
from spanward.connector.percentiles.reader import percentiles
from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.sidecar.component import Host
from spanward.sidecar.health import HealthRegistry
from spanward.store.batch import Batch, Signal
from spanward.store.clock import ManualClock
from spanward.store.layout import intake_folder
from spanward.store.log import IntakeLog
from spanward.store.records import SpansRecord, encode
from spanward.store.rows import build_rows
from spanward.store.schema import PERCENTILES
from spanward.store.span_store import SpanStore

from .support import MS, START_NS


class Lake:
    """A writing store, its intake log, and a connector: what the sidecar has."""

    def __init__(self, data: Path) -> None:
        self.clock = ManualClock(START_NS)
        self.store = SpanStore.open(data, clock=self.clock)
        self.log = IntakeLog.open(intake_folder(data, "traces"), self.store.keyring, clock=self.clock)

    def connector(self) -> PercentilesConnector:
        """A connector as the graph makes it."""
        host = Host(
            identifier="percentiles",
            data=self.store.data,
            store=self.store,
            log=None,
            clock=self.clock,
            metrics=CollectorRegistry(),
            logger=logging.getLogger("test.percentiles"),
            report=lambda _condition, _why: None,
            health=HealthRegistry(self.clock),
        )
        return PercentilesConnector(PercentilesConfig(flush_interval_seconds=3600), host)

    def logged(self, *durations_ms: float, tenant: str = "default") -> Batch:
        """Spans that are durable in the log."""
        resource, scope = ResourceRecord({"service.name": "checkout"}), ScopeRecord()
        records = [
            SpanRecord(
                trace_id=f"{number + 1:032x}",
                span_id=f"{number + 1:016x}",
                name="GET /",
                start_unix_nano=START_NS,
                end_unix_nano=START_NS + round(duration * MS),
                resource=resource,
                scope=scope,
                kind=2,
                verdict=Verdict(),
            )
            for number, duration in enumerate(durations_ms)
        ]
        rows = build_rows(records, tenant=tenant, received_at_ns=START_NS)
        return Batch(Signal.TRACES, rows, self.log.append(encode(SpansRecord(rows, []))))

    def close(self) -> None:
        """Let go."""
        self.log.close()
        self.store.close()


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    made = Lake(tmp_path / "data")
    yield made
    made.close()


def outside(lake: Lake, **options: Any) -> dict[str, Any]:
    """What another process reads while the sidecar runs."""
    everything: dict[str, Any] = {"tenant": "default", "by": (), **options}
    store = SpanStore.open(lake.store.data, clock=lake.clock, read_only=True)
    try:
        rows = percentiles(store, **everything).to_pylist()
    finally:
        store.close()
    return rows[0] if rows else {"count": 0}


async def test_every_reader_sees_every_span_once_at_each_step(lake: Lake) -> None:
    """Scenario: log, lake commit, flush, more spans. Guarantee: outside and inside count each span once, always."""
    connector = lake.connector()
    await connector.start()

    def inside() -> int:
        rows = percentiles(lake.store, tenant="default", by=(), held=connector.held).to_pylist()
        return int(rows[0]["count"]) if rows else 0

    first, second = lake.logged(1.0, 2.0), lake.logged(3.0)
    for batch in (first, second):
        lake.store.append(batch)
        await connector.consume(batch)
    assert (inside(), outside(lake)["count"]) == (3, 3)
    lake.store.commit()
    assert (inside(), outside(lake)["count"]) == (3, 3)
    await connector.shutdown()
    assert lake.store.table_committed("percentiles") == connector.committed() == second.sequence
    assert (inside(), outside(lake)["count"]) == (3, 3)
    again = lake.connector()
    await again.start()
    third = lake.logged(4.0)
    lake.store.append(third)
    for batch in (first, second, third):
        await again.consume(batch)
    lake.store.commit()
    assert outside(lake)["count"] == 4  # the lake has them all, the table lacks the last: it is read from the log
    row = outside(lake)
    assert (row["min_ns"], row["max_ns"], row["p50_ns"]) == (MS, 4 * MS, pytest.approx(2 * MS, rel=0.003))
    await again.shutdown()
    assert (outside(lake)["count"], lake.store.table_committed("percentiles")) == (4, third.sequence)


async def test_rows_come_back_as_they_were_written(lake: Lake) -> None:
    """Scenario: two tenants, one flush. Guarantee: the schema of PERCENTILES, and a filter finds only its tenant."""
    connector = lake.connector()
    await connector.start()
    await connector.consume(lake.logged(1.0, 1.0, 8.0))
    await connector.consume(lake.logged(1.0, tenant="acme"))
    await connector.shutdown()
    rows = lake.store.read_table("percentiles", tenant="default")
    assert rows.schema.equals(PERCENTILES) or rows.cast(PERCENTILES).num_rows == 1
    (row,) = rows.to_pylist()
    assert row["bucket_count"] == [2, 1]
    assert (row["sequence_first"], row["sequence_last"], row["app_id"]) == (1, 2, lake.store.app_id)
    assert outside(lake, tenant="acme")["count"] == 1
    assert outside(lake, tenant=None)["count"] == 4
    assert outside(lake, operation="POST /")["count"] == 0


async def test_partials_survive_compaction(lake: Lake) -> None:
    """Scenario: many flushes, then the table is compacted. Guarantee: the same figures."""
    for duration in range(1, 7):
        connector = lake.connector()
        await connector.start()
        await connector.consume(lake.logged(float(duration)))
        await connector.shutdown()
    before = outside(lake)
    lake.store.compact()
    assert outside(lake) == before
    assert before["count"] == 6


async def test_the_first_connector_takes_over_what_the_lake_holds(lake: Lake) -> None:
    """Scenario: a lake written without sketches, its log cut; then a connector comes. Guarantee: nothing is missing."""
    old = lake.logged(5.0, 7.0)
    lake.store.append(old)
    lake.store.commit()
    lake.log.truncate(old.sequence)
    connector = lake.connector()
    await connector.start()
    assert connector.committed() == old.sequence
    new = lake.logged(9.0)
    for batch in (old, new):
        await connector.consume(batch)
    await connector.shutdown()
    row = outside(lake)
    assert (row["count"], row["min_ns"], row["max_ns"]) == (3, 5 * MS, 9 * MS)


def test_a_lake_that_no_sidecar_wrote(lake: Lake) -> None:
    """Scenario: spans in the lake, no sketch ever. Guarantee: percentiles come from the spans."""
    lake.store.append(lake.logged(5.0, 7.0))
    lake.store.commit()
    assert outside(lake)["count"] == 2
    assert pa.types.is_floating(percentiles(lake.store, tenant="default")["p99_ns"].type)
