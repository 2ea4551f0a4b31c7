"""A host for one component under test, on a real store."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.sidecar.component import Encoding, Host, IngestResult
from spanward.sidecar.health import HealthRegistry
from spanward.store.batch import Batch, Signal
from spanward.store.clock import Clock, SystemClock
from spanward.store.log import IntakeLog
from spanward.store.rows import build_rows
from spanward.store.span_store import SpanStore


def make_host(data: Path, *, clock: Clock | None = None, name: str = "test") -> tuple[Host, IntakeLog]:
    """A host over a fresh data folder, with an intake log; close both stores with `close_host`."""
    clock = clock or SystemClock()
    store = SpanStore.open(data, clock=clock)
    log = IntakeLog.open(data / "intake" / "traces", store.keyring, clock=clock)
    health = HealthRegistry(clock)
    host = Host(
        identifier=name.partition("/")[2] or name,
        data=data,
        store=store,
        log=log.reader(),
        clock=clock,
        metrics=CollectorRegistry(),
        logger=logging.getLogger(f"spanward.{name}"),
        report=lambda condition, reason: health.report(name, condition, reason),
        health=health,
    )
    return host, log


def close_host(host: Host, log: IntakeLog) -> None:
    """Close what `make_host` opened."""
    log.close()
    host.store.close()


def span_batch(
    sequence: int, *, count: int = 1, service: str = "shop", tenant: str = "default", received_ns: int
) -> Batch:
    """A small batch of governed spans with ids derived from the sequence."""
    resource = ResourceRecord(attributes={"service.name": service})
    scope = ScopeRecord(name="lib")
    records = [
        SpanRecord(
            trace_id=f"{sequence:016x}{1:016x}",
            span_id=f"{sequence:08x}{index + 1:08x}",
            name="work",
            start_unix_nano=received_ns - 2_000_000,
            end_unix_nano=received_ns - 1_000_000,
            resource=resource,
            scope=scope,
            verdict=Verdict(),
        )
        for index in range(count)
    ]
    return Batch(Signal.TRACES, build_rows(records, tenant=tenant, received_at_ns=received_ns), sequence)


@dataclass
class RecordingIngest:
    """An ingest that keeps what it is given."""

    bodies: list[bytes] = field(default_factory=list[bytes])

    async def __call__(self, body: bytes, encoding: Encoding, tenant: str) -> IngestResult:
        """Take the body."""
        self.bodies.append(body)
        return IngestResult()
