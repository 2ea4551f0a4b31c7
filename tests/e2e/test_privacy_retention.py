"""Retention as an officer checks it: on the day of expiry it is gone, and it can be shown that it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from spanward.extension.jaeger import storage_pb2 as storage
from spanward.extension.jaeger.storage_pb2_grpc import TraceReaderStub
from spanward.sidecar.component import Consumer
from spanward.store.clock import ManualClock
from spanward.store.export import export, read_export
from spanward.store.log import LogReader
from spanward.store.records import SpansRecord, decode
from spanward.store.retention import PartitionState, RetentionSettings
from spanward.store.span_store import SpanStore
from spanward.store.sql import query
from tests.support.running import RunningSidecar, default_config, eventually, start_sidecar

DAYS = {"7d": 7, "30d": 30, "45d": 45, "365d": 365, "2555d": 2555, "permanent": None}
CLASSES = ("public", "internal", "confidential", "restricted")


@pytest.fixture
def clock() -> ManualClock:
    """2026-01-01, 00:00 UTC."""
    return ManualClock()


@pytest.fixture
def kept(tmp_path: Path, clock: ManualClock) -> Iterator[RunningSidecar]:
    """A sidecar with a span of each term and class, in the lake; its own retention job is off."""
    document = default_config()
    document["exporters"]["lake"]["retention_interval_seconds"] = 0
    sidecar = start_sidecar(document, tmp_path / "data", clock=clock)
    try:
        send(sidecar, clock)
        eventually(lambda: store_of(sidecar).hot_rows() == 0)
        yield sidecar
    finally:
        sidecar.stop()


def store_of(sidecar: RunningSidecar) -> SpanStore:
    assert sidecar.sidecar.store is not None
    return sidecar.sidecar.store


def send(sidecar: RunningSidecar, clock: ManualClock) -> None:
    """One span of each term and class; unlabelled ones are of 30 days and internal."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().resource.attributes.add(key="service.name").value.string_value = "kept"
    spans = request.resource_spans[0].scope_spans.add().spans
    for number, (term, label) in enumerate(((term, label) for term in DAYS for label in CLASSES), 1):
        span = spans.add(
            trace_id=number.to_bytes(16, "big"), span_id=number.to_bytes(8, "big"), name=f"kept for {term}",
            start_time_unix_nano=clock.now_ns(), end_time_unix_nano=clock.now_ns() + 1,
        )  # fmt: skip
        if (term, label) != ("30d", "internal"):
            span.attributes.add(key="spanward.retention").value.string_value = term
            span.attributes.add(key="spanward.classification").value.string_value = label
    with grpc.insecure_channel(sidecar.grpc) as channel:
        TraceServiceStub(channel).Export(request, timeout=30)  # type: ignore[no-untyped-call]  # typed in part


def terms_shown(sidecar: RunningSidecar, tmp_path: Path) -> list[dict[str, int]]:
    """How many spans of each term are seen by SQL, by an export, and by Jaeger's API."""
    store = store_of(sidecar)
    path = tmp_path / "export.jsonl.zst"
    export(store, path, format="jsonl.zst", force=True)
    names = [
        query(store, "select name from spans").column("name").to_pylist(),
        read_export(path).column("name").to_pylist(),
        list(names_in_jaeger(sidecar)),
    ]
    return [{term: found.count(f"kept for {term}") for term in DAYS if f"kept for {term}" in found} for found in names]


def names_in_jaeger(sidecar: RunningSidecar) -> Iterator[str]:
    parameters = storage.TraceQueryParameters(service_name="kept", search_depth=1000)
    with grpc.insecure_channel(sidecar.jaeger) as channel:
        for found in TraceReaderStub(channel).FindTraces(storage.FindTracesRequest(query=parameters), timeout=60):
            for resource_spans in found.resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    yield from (span.name for span in scope_spans.spans)


def live(day: int) -> dict[str, int]:
    """What must be shown on a day after receipt, and nothing else."""
    return {term: len(CLASSES) for term, days in DAYS.items() if days is None or day < days}


def files(data: Path) -> dict[str, bytes]:
    """Every file and its bytes, but for those that SQLite keeps beside its database."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in data.rglob("*")
        if path.is_file() and ".sqlite-" not in path.name
    }


def test_expired_spans_are_gone_on_the_day(kept: RunningSidecar, tmp_path: Path, clock: ManualClock) -> None:
    """Scenario: spans of every term and class; the day before each expiry, and the day itself, no job has run.

    Guarantee: SQL, exports and Jaeger show all of them until the day, and none of them on it.
    """
    day = 0
    for term in (days for days in DAYS.values() if days is not None):
        for target in (term - 1, term):
            clock.advance(days=target - day)
            day = target
            for shown in terms_shown(kept, tmp_path):
                assert shown == live(day), day


def test_after_job_and_grace_nothing_is_left(kept: RunningSidecar, tmp_path: Path, clock: ManualClock) -> None:
    """Scenario: expiry, a dry run, the job, the reader grace, the job again.

    Guarantee: the dry run changes no byte; then files and keys of what expired are gone, of the rest are not, and the
    records name each partition, with an audit trail that verifies, also in a reader's process.
    """
    store = store_of(kept)
    lake, keys = kept.data / "lake" / "spans", kept.data / "keys" / "data"
    clock.advance(days=30)
    before = files(kept.data)
    dry = store.retention().run(dry_run=True)
    assert files(kept.data) == before
    assert (dry.rows, dry.verified) == (2 * len(CLASSES), False)

    manager = store.retention(RetentionSettings(reader_grace_seconds=600))
    assert manager.run().files_waiting == 2 * len(CLASSES)
    clock.advance(seconds=601)
    report = manager.run()

    gone = {f"date=2026-01-01/retention={term}/classification={label}" for term in ("7d", "30d") for label in CLASSES}
    private = {name for name in gone if not name.endswith("public")}
    assert set(report.keys_destroyed) == private
    assert not any((lake / name).exists() for name in gone)
    assert not any("retention=7d" in path.name or "retention=30d" in path.name for path in keys.iterdir())
    assert len(list(lake.rglob("*.parquet"))) == len(list(keys.iterdir())) + 4 == 4 * len(CLASSES)
    deletions = [deletion for deletion in store.compliance.deletions() if deletion.table == "spans"]
    assert {deletion.partition for deletion in deletions} == gone
    assert {deletion.partition for deletion in deletions if deletion.key_destroyed} == private
    assert all(deletion.rows == 1 and deletion.removed_at_ns == clock.now_ns() for deletion in deletions)
    assert store.compliance.verify_audit() >= 2 * len(gone)
    assert terms_shown(kept, tmp_path) == [live(30)] * 3
    assert {plan.state for plan in manager.plan()} == {PartitionState.KEPT, PartitionState.PERMANENT}


def test_the_log_holds_nothing_longer_than_the_window(kept: RunningSidecar, clock: ManualClock) -> None:
    """Scenario: committed spans, and the window in which repetitions are recognised ends.

    Guarantee: the next trim removes their segment, though it is far from full: the log is no second archive.
    """
    clock.advance(seconds=601)
    graph = kept.sidecar.graph
    assert graph is not None
    (pipeline,) = graph.pipelines.values()
    percentiles = graph.components["connector/percentiles"]
    assert isinstance(percentiles, Consumer)
    eventually(lambda: percentiles.committed() > 0)
    pipeline.intake.trim()
    (folder,) = (kept.data / "intake").iterdir()
    records = [decode(payload) for _, payload in LogReader.open(folder, store_of(kept).keyring).records(0)]
    assert not any(isinstance(record, SpansRecord) for record in records)


def test_percentiles_are_kept_for_their_days(kept: RunningSidecar, clock: ManualClock) -> None:
    """Scenario: 365 days pass. Guarantee: the sketches of the day are there the day before, and gone after the job."""
    store = store_of(kept)
    eventually(lambda: store.read_table("percentiles", tenant=None).num_rows > 0)
    settings = RetentionSettings(reader_grace_seconds=0)
    clock.advance(days=364)
    store.retention(settings).run()
    assert store.read_table("percentiles", tenant=None).num_rows > 0
    clock.advance(days=1)
    store.retention(settings).run()
    assert store.read_table("percentiles", tenant=None).num_rows == 0
    assert not list((kept.data / "lake" / "percentiles").rglob("*.parquet"))


def test_command_line_shows_the_plan_and_a_dry_run(kept: RunningSidecar) -> None:
    """Scenario: the commands an officer types. Guarantee: nothing changes."""
    kept.stop()
    before = files(kept.data)
    environment = {**os.environ, "NO_COLOR": "1"}
    for arguments in (["plan"], ["run", "--dry-run"]):
        command = [sys.executable, "-m", "spanward.sidecar", "retention", *arguments, "--json"]
        done = subprocess.run(
            [*command, "--data", str(kept.data)], capture_output=True, check=True, env=environment, timeout=60
        )
        assert json.loads(done.stdout)
    assert files(kept.data) == before
