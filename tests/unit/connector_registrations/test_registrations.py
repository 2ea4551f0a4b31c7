"""Registration spans become compliance records, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spanward.connector.registrations.factory import factory
from spanward.connector.registrations.registrations import RegistrationsConnector
from spanward.processor.policy.labels import YEAR, Classification
from spanward.processor.policy.span import Attributes, ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.sidecar.component import Host
from spanward.store.batch import Batch, Signal
from spanward.store.rows import build_rows
from tests.support.hosts import close_host, make_host, span_batch


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A host with a real compliance store."""
    host, log = make_host(tmp_path / "data")
    yield host
    close_host(host, log)


def registration(sequence: int, attributes: Attributes) -> Batch:
    """A batch with one registration span."""
    record = SpanRecord(
        trace_id="ab" * 16,
        span_id=f"{sequence:016x}",
        name="spanward.register",
        start_unix_nano=1,
        end_unix_nano=2,
        resource=ResourceRecord(),
        scope=ScopeRecord(),
        attributes=attributes,
        verdict=Verdict(Classification.CONFIDENTIAL, YEAR),
    )
    return Batch(Signal.TRACES, build_rows([record], tenant="default", received_at_ns=10**18), sequence)


def connector(host: Host) -> RegistrationsConnector:
    """The connector as the sidecar makes it."""
    made = factory.create(factory.config(), host)
    assert isinstance(made, RegistrationsConnector)
    return made


async def test_a_registration_is_put_on_record_once(host: Host) -> None:
    """Scenario: a registration span, replayed to a restarted connector. Guarantee: one record, with labels and tags."""
    batch = registration(1, {"spanward.registration.target": "event-7", "spanward.privacy.tags": ["health"]})
    for _ in range(2):
        restarted = connector(host)
        await restarted.start()
        await restarted.consume(span_batch(1, received_ns=10**18))
        await restarted.consume(batch)
        assert restarted.committed() == 1
        await restarted.shutdown()
    (record,) = host.store.compliance.registrations()
    assert (record.subject, record.kind, record.privacy_tags) == ("event-7", "event", ("health",))
    assert (record.classification, record.retention) == (Classification.CONFIDENTIAL, YEAR)
    assert record.actor == f"span {'ab' * 16}:{1:016x}"


async def test_a_lake_file_is_told_from_an_event(host: Host) -> None:
    """Scenario: the target is a Parquet path, the tags are not a list. Guarantee: kind `file`, no tags."""
    target = {"spanward.registration.target": "date=2026-01-01/part.parquet", "spanward.privacy.tags": "health"}
    await connector(host).consume(registration(1, dict(target)))
    (record,) = host.store.compliance.registrations()
    assert (record.kind, record.privacy_tags) == ("file", ())


async def test_a_registration_without_target_is_told(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """Scenario: a foreign span of that name. Guarantee: a warning that names the span, no record, no failure."""
    await connector(host).consume(registration(3, {}))
    assert host.store.compliance.registrations() == []
    assert "spanward.registration.target" in caplog.text
