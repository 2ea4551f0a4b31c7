"""A data-protection officer plants personal data everywhere, and looks for it everywhere."""

from __future__ import annotations

import gzip
import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from spanward.extension.jaeger import storage_pb2 as storage
from spanward.extension.jaeger.storage_pb2_grpc import TraceReaderStub
from spanward.sidecar.demo import leak
from spanward.store._json_rows import row_lines
from spanward.store.span_store import SpanStore
from spanward.store.sql import query
from tests.support.planted import PLANTED, forms, planted_request
from tests.support.running import RunningSidecar, default_config, eventually, start_sidecar

NEEDLES = {name: forms(needle) for name, (_, needle) in PLANTED.items()}


def seen(content: bytes) -> set[str]:
    """Types whose planted value is in the bytes."""
    return {name for name, needles in NEEDLES.items() if any(needle in content for needle in needles)}


def post(url: str, body: bytes, content_type: str, **headers: str) -> bytes:
    """POST; the answer with its headers, whatever its status."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": content_type, **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read()) + str(answer.headers).encode()
    except urllib.error.HTTPError as error:
        with error:
            return error.read() + str(error.headers).encode()


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=30) as answer:
        return bytes(answer.read())


def as_json(request: Any) -> dict[str, Any]:
    """The request in OTLP/JSON: ids in hex."""
    document = MessageToDict(request, use_integers_for_enums=True)
    for number, resource_spans in enumerate(document["resourceSpans"]):
        for position, span in enumerate(resource_spans["scopeSpans"][0]["spans"]):
            original = request.resource_spans[number].scope_spans[0].spans[position]
            span["traceId"], span["spanId"] = original.trace_id.hex(), original.span_id.hex()
            for place, link in zip(original.links, span["links"], strict=True):
                link["traceId"], link["spanId"] = place.trace_id.hex(), place.span_id.hex()
    return document


def send_all_ways(sidecar: RunningSidecar) -> list[bytes]:
    """The planted request by gRPC, HTTP/protobuf (gzip) and HTTP/JSON, each twice; everything that was answered."""
    url, now = f"{sidecar.http}/v1/traces", time.time_ns()
    by_grpc, by_http, by_json = (planted_request(first=first, now_ns=now) for first in (100, 200, 300))
    answers: list[bytes] = []
    with grpc.insecure_channel(sidecar.grpc) as channel:
        stub = TraceServiceStub(channel)  # type: ignore[no-untyped-call]  # opentelemetry-proto types it in part
        answers += [str(stub.Export(by_grpc, timeout=30)).encode() for _ in range(2)]
    body = gzip.compress(by_http.SerializeToString(), mtime=0)
    document = json.dumps(as_json(by_json), ensure_ascii=False).encode()
    for _ in range(2):
        answers.append(post(url, body, "application/x-protobuf", **{"Content-Encoding": "gzip"}))
        answers.append(post(url, document, "application/json"))
    return answers


def send_bad_input(sidecar: RunningSidecar) -> list[bytes]:
    """Requests that are refused whole, with planted values wherever a careless error would quote them."""
    url, written = f"{sidecar.http}/v1/traces", [text for text, _ in PLANTED.values()]
    answers: list[bytes] = []
    for text in written:
        span: dict[str, Any] = {"traceId": text, "spanId": text, "kind": text, "name": 7, "startTimeUnixNano": text}
        span["attributes"] = [{"key": text, "value": {"intValue": text}}, {"key": "x", "value": {text: text}}]
        document = {"resourceSpans": [{"resource": {}, "scopeSpans": [{"spans": [span]}]}]}
        whole = json.dumps(document).encode()
        bodies = (whole, whole[:-9], json.dumps({"resourceSpans": text}).encode(), text.encode())
        answers += [post(url, body, "application/json") for body in bodies]
        answers += [
            post(url, text.encode(), "application/x-protobuf"),
            post(url, planted_request(first=1, now_ns=0).SerializeToString()[:-50], "application/x-protobuf"),
            post(url, b"\x1f\x8b" + text.encode(), "application/json", **{"Content-Encoding": "gzip"}),
            post(url, b"{}", f"text/{text}".replace(" ", "-")),
            post(url, b"{}", "application/json", **{"Content-Encoding": text}),
            post(url, b"{}", "application/json", **{"X-Tenant": f"a {text}"}),
            post(f"{sidecar.http}/v1/{text}".replace(" ", "%20"), b"{}", "application/json"),
        ]
    with grpc.insecure_channel(sidecar.grpc) as channel:
        method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
        export = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
        for text in written:
            for metadata in ((), (("x-tenant", f"a {text}"),)):
                try:
                    answers.append(export(text.encode() * 3, metadata=metadata, timeout=30))
                except grpc.RpcError as error:
                    answers.append(str(error).encode())
    return answers


def through_jaeger(sidecar: RunningSidecar) -> Iterable[bytes]:
    """Everything that Jaeger's API answers, also to questions that name the planted values."""
    with grpc.insecure_channel(sidecar.jaeger) as channel:
        reader = TraceReaderStub(channel)
        services = reader.GetServices(storage.GetServicesRequest(), timeout=30)
        yield services.SerializeToString()
        for service in services.services:
            asked = storage.GetOperationsRequest(service=service)
            yield reader.GetOperations(asked, timeout=30).SerializeToString()
            parameters = storage.TraceQueryParameters(service_name=service, search_depth=100)
            for found in reader.FindTraces(storage.FindTracesRequest(query=parameters), timeout=60):
                yield found.SerializeToString()
        for written, _ in PLANTED.values():
            parameters = storage.TraceQueryParameters(service_name=written, operation_name=written, search_depth=10)
            yield from (
                found.SerializeToString()
                for found in reader.FindTraces(storage.FindTracesRequest(query=parameters), timeout=60)
            )


def look_everywhere(sidecar: RunningSidecar) -> None:
    """Every byte of every file, every decrypted row, and every answer: nothing planted is in them."""
    for path in sorted(sidecar.data.rglob("*")):
        with suppress(FileNotFoundError, IsADirectoryError):  # the sidecar is at work
            assert not seen(path.read_bytes()), path
    with closing(SpanStore.open(sidecar.data, read_only=True)) as store:
        report = leak.search(store, [needle for _, needle in PLANTED.values()])
        assert report.rows >= 3 * len(PLANTED)
        assert report.found == ()
        rows = query(store, "select * from spans", row_limit=10_000)
        for line in row_lines(rows):
            assert not seen(line.encode())
    for address in (f"{sidecar.health}/status", f"{sidecar.health}/ready", sidecar.metrics):
        assert not seen(get(address)), address


def types_by_service(sidecar: RunningSidecar, runs: int) -> dict[str, set[str]]:
    """What was found in the spans into which one type was planted."""
    assert sidecar.sidecar.store is not None
    sql = "select resource->>'kind.planted' as planted, pii from spans"
    rows = query(sidecar.sidecar.store, sql, row_limit=10_000).to_pylist()
    found = {name: set(PLANTED) for name in PLANTED}
    for row in rows:
        found[row["planted"]] &= set(row["pii"])
    assert len(rows) == 3 * len(PLANTED) * runs
    return found


def test_no_planted_value_comes_out_anywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Scenario: every type in every place, three ways in, good beside refused, twice, bad requests, a restart.

    Guarantee: each type is recorded as found; its value is in no file, decrypted row, log line, metric or answer.
    """
    caplog.set_level(logging.DEBUG)
    document = default_config()
    document["service"]["telemetry"]["logs"] = {"level": "debug"}
    for runs in (1, 2):
        sidecar = start_sidecar(document, tmp_path / "data")
        try:
            answers = [*send_all_ways(sidecar), *send_bad_input(sidecar)]
            assert any(b"trace_id" in answer for answer in answers)
            look_everywhere(sidecar)
            eventually(lambda: sidecar.sidecar.store is not None and sidecar.sidecar.store.hot_rows() == 0)  # noqa: B023
            look_everywhere(sidecar)
            assert {name: name in found for name, found in types_by_service(sidecar, runs).items()} == dict.fromkeys(
                PLANTED, True
            )
            for answer in (*answers, *through_jaeger(sidecar)):
                assert not seen(answer), answer
        finally:
            sidecar.stop()
    output = capfd.readouterr()
    assert not seen(f"{caplog.text}\n{output.out}\n{output.err}".encode())


def test_claimed_names_neither_leak_nor_grow_metrics(sidecar: RunningSidecar) -> None:
    """Scenario: a sender claims violations called like an IBAN in lower case and like any word.

    Guarantee: the IBAN is in no row; what is no rule here counts as `other` in the metrics.
    """
    request = planted_request(first=1, now_ns=time.time_ns(), refused=False)
    del request.resource_spans[1:]
    names = request.resource_spans[0].scope_spans[0].spans[0].attributes.add(key="spanward.quality.violations")
    for name in ("de89370400440532013000", "some_word"):
        names.value.array_value.values.add(string_value=name)
    post(f"{sidecar.http}/v1/traces", request.SerializeToString(), "application/x-protobuf")
    assert sidecar.sidecar.store is not None
    row = query(sidecar.sidecar.store, "select quality_violations from spans").to_pylist()[0]
    assert "some_word" in row["quality_violations"]
    assert "de89370400440532013000" not in row["quality_violations"]
    metrics = get(sidecar.metrics)
    assert b'rule="other"' in metrics
    assert b"some_word" not in metrics
