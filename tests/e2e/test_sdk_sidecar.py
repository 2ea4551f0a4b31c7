"""An application under the SDK, and a real sidecar that it sends to."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from spanward.processor.otel import GovernedSpanExporter
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.labels import Classification, Retention
from spanward.sdk import Pipeline, configure
from spanward.sdk._guard import forget_warnings
from spanward.sdk._keys import load_hash_keys
from spanward.store.sql import query
from tests.support.running import RunningSidecar

EMAIL = "jo.frost@example.com"
PROTOCOLS = ("grpc", "http/protobuf")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No setting of the machine's reaches a test."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "SPANWARD_")):
            monkeypatch.delenv(name)
    forget_warnings()
    yield
    forget_warnings()


def endpoint(sidecar: RunningSidecar, protocol: str) -> str:
    return sidecar.grpc if protocol == "grpc" else sidecar.http


def keyring(sidecar: RunningSidecar) -> str:
    """As an operator hands it to an application on the same machine."""
    return str(sidecar.data / "keys" / "keyring.json")


def rows(sidecar: RunningSidecar, statement: str = "select * from spans", tenant: str = "default") -> list[Any]:
    assert sidecar.sidecar.store is not None
    return list(query(sidecar.sidecar.store, statement, tenant=tenant).to_pylist())


# --- configure --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_configure_sends_governed_spans(sidecar: RunningSidecar, protocol: str, compression: str) -> None:
    """configure(endpoint=…) over each protocol: every span stored once, governed before it left the process."""
    with configure(
        endpoint(sidecar, protocol),
        protocol=protocol,
        compression=compression,
        service_name="shop",
        keyring=keyring(sidecar),
        headers={"X-Tenant": "acme"},
        set_global=False,
    ) as handle:
        tracer = handle.tracer()
        for number in range(700):  # more than one batch
            with tracer.start_as_current_span(f"order {number % 5}", attributes={"note": f"mail {EMAIL}", "n": number}):
                pass
        assert handle.flush()
    stored = rows(sidecar, "select attributes_int['n'] as n, attributes_str['note'] as note, pii from spans", "acme")
    assert sorted(row["n"] for row in stored) == list(range(700))
    assert all(row["note"].startswith("mail <email:k1:") and row["pii"] == ["email"] for row in stored)
    assert rows(sidecar) == []


def test_an_endpoint_given_as_url_with_path_is_reached(sidecar: RunningSidecar) -> None:
    """`http://host:port/v1/traces` names OTLP/HTTP by its path alone."""
    with configure(f"{sidecar.http}/v1/traces", service_name="shop", set_global=False) as handle:
        handle.tracer().start_span("one").end()
    assert [row["name"] for row in rows(sidecar)] == ["one"]


# --- Pipeline ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_concurrent_operations_of_a_pipeline_are_all_stored(sidecar: RunningSidecar, protocol: str) -> None:
    """200 operations at once: each has its own verdict, each is in the sidecar once, with the labels of the verdict."""
    async with Pipeline(
        endpoint(sidecar, protocol), protocol=protocol, service_name="engine", keyring=keyring(sidecar), batch_size=32
    ) as pipeline:
        results = await asyncio.gather(
            *(
                pipeline.process_operation(
                    "model.call",
                    "llm",
                    f"answer {number}",
                    input=f"write to {EMAIL}" if number % 2 else "nothing personal",
                    retention="7d",
                    classification="restricted" if number % 3 == 0 else None,
                    quality_score=7.0 if number % 50 == 0 else 0.5,
                )
                for number in range(200)
            )
        )
    assert all(result.accepted and result.stored for result in results)
    assert pipeline.status().stored == 200
    stored = {row["span_id"]: row for row in rows(sidecar)}
    assert len(stored) == 200 == len(rows(sidecar))
    for number, result in enumerate(results):
        row = stored[result.span_id]
        assert (row["name"], row["trace_id"], row["retention"]) == (f"answer {number}", result.trace_id, "7d")
        assert result.classification is not None
        assert row["classification"] == result.classification.value
        assert tuple(row["pii"]) == result.pii == (("email",) if number % 2 else ())
        assert tuple(row["quality_violations"]) == result.violations
        assert bool(result.violations) == (number % 50 == 0)


async def test_a_registration_reaches_the_compliance_record(sidecar: RunningSidecar) -> None:
    """Pipeline.register over an endpoint: labels, tags and who said it stand in the sidecar's compliance store."""
    async with Pipeline(sidecar.grpc, protocol="grpc", service_name="engine", keyring=keyring(sidecar)) as pipeline:
        event = await pipeline.process_operation("model.call", "llm", "answer")
        answer = await pipeline.register(event, classification="restricted", retention="7d", privacy_tags=["health"])
        file = await pipeline.register("spans/date=2026-01-01/part-0.parquet", retention="365d")
    assert answer.stored
    assert file.stored
    store = sidecar.sidecar.store
    assert store is not None
    [record] = store.compliance.registrations(event.event_id)
    assert (record.kind, record.classification, record.retention) == (
        "event",
        Classification.RESTRICTED,
        Retention.parse("7d"),
    )
    assert list(record.privacy_tags) == ["health"]
    assert record.actor == f"span {answer.trace_id}:{answer.span_id}"
    [of_file] = store.compliance.registrations("spans/date=2026-01-01/part-0.parquet")
    assert (of_file.kind, of_file.retention) == ("file", Retention.parse("365d"))


# --- zero code --------------------------------------------------------------------------------------------------------

PROGRAM = """
from opentelemetry import trace
from spanward.sdk import session, traced

@traced(record_args=["mail"])
def place(mail):
    with trace.get_tracer("hand-made").start_as_current_span("inner"):
        return 1

with session(session_id="s-81", user_id="u-7"):
    place(mail="jo.frost@example.com")
"""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "asked",
    [{"OTEL_TRACES_EXPORTER": "spanward"}, {"OTEL_PYTHON_CONFIGURATOR": "spanward"}],
    ids=["exporter", "configurator"],
)
def test_zero_code_start_sends_governed_spans(
    sidecar: RunningSidecar, tmp_path: Path, protocol: str, asked: dict[str, str]
) -> None:
    """opentelemetry-instrument, asked either way: governed before it leaves, no complaint, nothing twice."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(program)],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("COV_")},
            **asked,
            "OTEL_SERVICE_NAME": "shop",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{sidecar.grpc}" if protocol == "grpc" else sidecar.http,
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "SPANWARD_KEYRING": keyring(sidecar),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
    stored = {row["name"].rpartition(".")[2]: row for row in rows(sidecar)}
    assert stored.keys() == {"place", "inner"}
    assert len(rows(sidecar)) == 2
    place = stored["place"]
    assert (place["service_name"], place["session_id"]) == ("shop", "s-81")
    assert stored["inner"]["session_id"] == "s-81"
    assert stored["inner"]["parent_span_id"] == place["span_id"]
    assert "<email:k1:" in json.dumps(place, default=str)
    assert EMAIL not in json.dumps(rows(sidecar), default=str)
    assert set(place["pii"]) >= {"email"}


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("SPANWARD_POLICY", "no/such/policy.yaml", "no/such/policy.yaml: cannot be read"),
        ("SPANWARD_KEYRING", "no/such/keys", "keyring no/such/keys"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "protocol 'http/json' is neither"),
    ],
)
def test_a_wrong_setting_costs_the_spans_and_not_the_program(
    sidecar: RunningSidecar, tmp_path: Path, setting: str, value: str, told: str
) -> None:
    """opentelemetry-instrument with a variable that is wrong: one line says so, the program runs, nothing leaves."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    done = subprocess.run(
        [str(Path(sys.executable).with_name("opentelemetry-instrument")), sys.executable, str(program)],
        env={
            **{name: text for name, text in os.environ.items() if not name.startswith("COV_")},
            "OTEL_TRACES_EXPORTER": "spanward,otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{sidecar.grpc}",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            setting: value,
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert rows(sidecar) == []


# --- the same policy twice --------------------------------------------------------------------------------------------


class Tee(SpanExporter):
    """Sends what it is given to several exporters, so that each gets the very same spans."""

    def __init__(self, *exporters: SpanExporter) -> None:
        self._exporters = exporters

    def export(self, spans: Any) -> Any:
        return [exporter.export(spans) for exporter in self._exporters][-1]

    def shutdown(self) -> None:
        for exporter in self._exporters:
            exporter.shutdown()


def personal_spans() -> list[ReadableSpan]:
    """Spans with personal data wherever a span can hold text."""
    with configure("localhost:1", set_global=False, service_name="shop", resource_attributes=_RESOURCE) as handle:
        handle.shutdown()
        tracer = handle.tracer_provider.get_tracer("lib", "1.0", attributes={"owner": "amy@example.com"})
        linked = trace.SpanContext(7, 9, is_remote=True)
        spans: list[ReadableSpan] = []
        for number in range(5):
            span = tracer.start_span(
                f"mail kim{number}@example.com",
                kind=SpanKind.SERVER,
                attributes={
                    "user.id": f"u-{number}",
                    "note": f"call +44 20 7946 095{number} or jo{number}@example.com from 203.0.113.{number + 1}",
                    "card": "4111 1111 1111 1111",
                    "iban": "GB82 WEST 1234 5698 7654 32",
                    "authorization": "Bearer abcdefghijklmnopqrstuvwxyz0123456789",
                    "password": "hunter2",
                    "tags": [f"jo{number}@example.com", "plain", ""],
                    "numbers": [1, 2, 3],
                    "spanward.memory_mb": 99_999.0,
                    "spanward.event.type": "Not An Event Type",
                    "client.address": "198.51.100.7",
                    "spanward.contains_pii": False,
                    "spanward.retention": "365d",
                    **({"spanward.quality.score": 0.5, "spanward.classification": "confidential"} if number else {}),
                },
                links=[Link(linked, {"who": "bob@example.com"})],
            )
            span.add_event("sent to carl@example.com", {"ip": "203.0.113.9", "n": 1})
            span.set_status(Status(StatusCode.ERROR, "dora@example.com refused, SSN 078-05-1121"))
            span.end()
            assert isinstance(span, ReadableSpan)
            spans.append(span)
        return spans


_RESOURCE = {"host.owner": "eve@example.com", "spanward.privacy.tags": "health"}


def without_own_attributes(row: dict[str, Any]) -> dict[str, Any]:
    """A row but for what its way to the sidecar may change: tenant, times of receipt, `spanward.*` attributes."""
    kept = {key: value for key, value in row.items() if not key.startswith("spanward_")}
    for key in ("tenant", "received_at"):
        kept.pop(key)
    for column in ("attributes_str", "attributes_int", "attributes_double", "attributes_bool", "attributes_json"):
        kept[column] = sorted((key, value) for key, value in row[column] if not key.startswith("spanward."))
    return kept


def test_governing_twice_gives_what_governing_once_gives(sidecar: RunningSidecar) -> None:
    """The same spans raw to one tenant, governed with the shared keys to another: equal rows, equal subjects.

    Guarantee: tokens, findings, labels, violations and scores do not depend on how often the policy was applied.
    """
    keys = load_hash_keys(keyring=keyring(sidecar))
    raw = OTLPSpanExporter(endpoint=sidecar.grpc, insecure=True, headers=(("x-tenant", "raw"),))
    once = OTLPSpanExporter(endpoint=sidecar.grpc, insecure=True, headers=(("x-tenant", "governed"),))
    both = Tee(raw, GovernedSpanExporter(once, Governor(Policy.default(), keys)))
    both.export(personal_spans())
    both.shutdown()
    statement = "select * from spans order by span_id"
    in_sidecar, in_both = rows(sidecar, statement, "raw"), rows(sidecar, statement, "governed")
    assert len(in_sidecar) == len(in_both) == 5
    assert in_sidecar[1]["subjects"]
    for one, two in zip(in_sidecar, in_both, strict=True):
        assert without_own_attributes(one) == without_own_attributes(two)
    assert "@example.com" not in json.dumps(in_sidecar, default=str)


def test_hashes_of_application_and_sidecar_agree(sidecar: RunningSidecar, monkeypatch: pytest.MonkeyPatch) -> None:
    """SPANWARD_KEYRING shared: one person is one subject and one token, whoever found the address."""
    monkeypatch.setenv("SPANWARD_KEYRING", keyring(sidecar))
    with configure(sidecar.grpc, protocol="grpc", service_name="app", set_global=False) as handle:
        handle.tracer().start_span("one", attributes={"to": EMAIL, "user.id": "u-7"}).end()
    exporter = OTLPSpanExporter(endpoint=sidecar.grpc, insecure=True)
    with configure("localhost:1", set_global=False, service_name="stock") as handle:
        handle.shutdown()
        span = handle.tracer().start_span("one", attributes={"to": EMAIL, "user.id": "u-7"})
        span.end()
        assert isinstance(span, ReadableSpan)
        exporter.export([span])
    exporter.shutdown()
    app, stock = rows(
        sidecar, "select service_name, attributes_str['to'] as sent, user_id, subjects from spans order by 1"
    )
    assert (app.pop("service_name"), stock.pop("service_name")) == ("app", "stock")
    assert app == stock
    assert app["subjects"]


def test_labels_of_the_verdict_are_those_of_the_row(sidecar: RunningSidecar) -> None:
    """A claim made in the application is the label in the sidecar: neither weakened nor lost on the way."""
    with configure(sidecar.grpc, protocol="grpc", set_global=False, keyring=keyring(sidecar)) as handle:
        tracer = handle.tracer()
        for label in Classification:
            tracer.start_span(label.value, attributes={"spanward.classification": label.value}).end()
        for term in ("7d", "30d", "365d", "2555d", "permanent", "90d"):
            tracer.start_span(term, attributes={"spanward.retention": term}).end()
    stored = {row["name"]: row for row in rows(sidecar)}
    assert {name: row["classification"] for name, row in stored.items() if name in set(Classification)} == {
        label.value: label.value for label in Classification
    }
    assert {
        name: str(Retention.parse(row["retention"])) for name, row in stored.items() if name not in set(Classification)
    } == {term: term for term in ("7d", "30d", "365d", "2555d", "permanent", "90d")}
