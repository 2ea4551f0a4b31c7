"""Forwarding: failures first, then what goes right."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from spanward.exporter.otlp.cursor import Cursor
from spanward.exporter.otlp.requests import requests_of
from spanward.store.errors import StoreError


def status_trailer(*, retry: bool) -> tuple[tuple[str, bytes], ...]:
    status = Status(code=8, message="busy")
    if retry:
        detail = AnyMessage()
        detail.Pack(RetryInfo(retry_delay=Duration(nanos=1_000_000)))
        status.details.append(detail)
    return (("grpc-status-details-bin", status.SerializeToString()),)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("retry_after", [None, "0", "1000", "soon", "Wed, 21 Oct 2015 07:28:00 GMT"])
async def test_retryable_http_status_is_sent_again(
    make: Any, http: Any, side: Any, eventually: Any, status: int, retry_after: str | None
) -> None:
    """A destination that is busy twice: the same spans come a third time, none is lost, and health says ok again."""
    headers = {} if retry_after is None else {"Retry-After": retry_after}
    http.script = [(status, headers, b"busy"), (status, headers, b"")]
    batch = side.append("a")
    exporter = make(http.endpoint)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert http.names == [["a"], ["a"], ["a"]]
    assert side.metric("spanward_exporter_retries_total") == 2
    assert side.metric("otelcol_exporter_sent_spans_total") == 1
    assert side.reports[0][0] == "degraded"
    assert side.reports[-1] == ("ok", "")


@pytest.mark.parametrize(
    ("status", "headers", "body", "text"),
    [
        (400, {}, b"bad request here", "HTTP 400: bad request here"),
        (401, {}, b"", "HTTP 401: Unauthorized"),
        (404, {"Content-Type": "text/html"}, b"<h1>not\nhere</h1>", "HTTP 404: <h1>not here</h1>"),
        (413, {"Content-Type": "application/x-protobuf"}, Status(message="too big").SerializeToString(), "too big"),
        (500, {"Content-Type": "application/x-protobuf"}, b"\xff", "HTTP 500: Internal Server Error"),
        (301, {"Location": "http://127.0.0.1:9/"}, b"", "HTTP 301"),
    ],
)
async def test_other_http_status_is_final(
    make: Any,
    http: Any,
    side: Any,
    eventually: Any,
    caplog: pytest.LogCaptureFixture,
    status: int,
    headers: dict[str, str],
    body: bytes,
    text: str,
) -> None:
    """Refused for good: told in the log with the reason, counted, skipped; the next record is sent."""
    http.script = [(status, headers, body)]
    side.append("a", "b")
    batch = side.append("c")
    exporter = make(http.endpoint)
    with caplog.at_level(logging.ERROR):
        await exporter.start()
        await eventually(lambda: exporter.committed() == batch.sequence)
    assert http.names == [["a", "b"], ["c"]]
    assert side.metric("otelcol_exporter_send_failed_spans_total") == 2
    assert side.metric("otelcol_exporter_sent_spans_total") == 1
    assert text in caplog.text
    assert "2 spans were refused for good" in caplog.text


RETRYABLE = ("CANCELLED", "DEADLINE_EXCEEDED", "ABORTED", "OUT_OF_RANGE", "UNAVAILABLE", "DATA_LOSS")


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_each_grpc_code_is_retried_or_final(
    make: Any, grpc_destination: Any, side: Any, eventually: Any, code: grpc.StatusCode
) -> None:
    """Every code there is: those of the specification are sent again, all others are final."""
    grpc_destination.script = [(code, "no")]
    batch = side.append("a")
    exporter = make(grpc_destination.endpoint)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    again = code.name in RETRYABLE
    assert grpc_destination.names == [["a"], ["a"]] if again else [["a"]]
    assert side.metric("otelcol_exporter_send_failed_spans_total") == (0 if again else 1)


@pytest.mark.parametrize(
    ("trailers", "again"),
    [
        (status_trailer(retry=True), True),
        (status_trailer(retry=False), False),
        ((("grpc-status-details-bin", b"\xff\xff"),), False),
    ],
)
async def test_resource_exhausted_is_retried_only_when_asked(
    make: Any, grpc_destination: Any, side: Any, eventually: Any, trailers: Any, again: bool
) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo, without it, and with damaged details: only the first is sent again."""
    grpc_destination.script = [(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", trailers)]
    batch = side.append("a")
    exporter = make(grpc_destination.endpoint)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert len(grpc_destination.arrived) == (2 if again else 1)


@pytest.mark.parametrize("scheme", ["", "http://"])
async def test_destination_that_is_down_is_waited_for(side: Any, make: Any, eventually: Any, scheme: str) -> None:
    """Nobody listens: spans stay in the log, health says degraded, shutdown does not wait for it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"{scheme}127.0.0.1:{free.getsockname()[1]}"
        side.append("a")
        exporter = make(endpoint, timeout_seconds=0.2)
        await exporter.start()
        await eventually(lambda: (side.metric("spanward_exporter_retries_total") or 0) >= 2)
        await exporter.shutdown()
    assert exporter.committed() == 0
    assert side.reports[-1][0] == "degraded"
    assert "127.0.0.1" in side.reports[-1][1]


async def test_destination_that_does_not_answer_is_tried_again(
    make: Any, http: Any, side: Any, eventually: Any
) -> None:
    """A request that is never answered: given up after its time, and sent again."""
    never = asyncio.Event()
    http.script = [never.wait]
    batch = side.append("a")
    exporter = make(http.endpoint, timeout_seconds=0.1)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    never.set()
    assert len(http.arrived) == 2


async def test_shutdown_gives_up_a_request_in_flight(make: Any, http: Any, side: Any) -> None:
    """Shutdown while the destination stalls: it ends in time, and the record stays for the next start."""
    never = asyncio.Event()
    http.script = [never.wait]
    side.append("a")
    exporter = make(http.endpoint, shutdown_timeout_seconds=0.01)
    await exporter.start()
    await http.wait_for(1)
    await exporter.shutdown()
    await exporter.shutdown()
    never.set()
    assert exporter.committed() == 0


async def test_shutdown_while_waiting_to_retry_is_prompt(make: Any, http: Any, side: Any, eventually: Any) -> None:
    """Shutdown in the middle of a long wait: at once, without another try."""
    http.script = [(503, {"Retry-After": "3000"}, b"")] * 5
    side.append("a")
    exporter = make(http.endpoint, retry={"max_asked_seconds": 3000})
    await exporter.start()
    await eventually(lambda: bool(side.reports))
    await exporter.shutdown()
    assert len(http.arrived) == 1
    assert side.reports == [("degraded", side.reports[0][1])]


async def test_restart_goes_on_where_it_stopped(make: Any, http: Any, side: Any, eventually: Any) -> None:
    """Two records forwarded, restart, a third: only the third is sent, for the cursor is on disk."""
    first = make(http.endpoint)
    side.append("a")
    batch = side.append("b")
    await first.start()
    await eventually(lambda: first.committed() == batch.sequence)
    await first.shutdown()
    batch = side.append("c")
    second = make(http.endpoint)
    await second.start()
    await eventually(lambda: second.committed() == batch.sequence)
    assert http.names == [["a"], ["b"], ["c"]]
    cursor = side.data / "cursors" / "intake" / "otlp%2Ftest.json"
    assert json.loads(cursor.read_text()) == {"sequence": batch.sequence}
    assert cursor.stat().st_mode & 0o777 == 0o600


async def test_cursor_past_the_end_of_the_log_is_put_back(
    make: Any, http: Any, side: Any, eventually: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The log was restored from an older backup: forwarding goes on from its end, with a warning."""
    batch = side.append("a")
    Cursor(side.data, "intake", "otlp/test").advance(batch.sequence + 100)
    exporter = make(http.endpoint)
    await exporter.start()
    assert "past the end of the log" in caplog.text
    batch = side.append("b")
    await exporter.consume(batch)
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert http.names == [["b"]]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sequence": "5"}', '{"sequence": -1}', '{"sequence": true}'])
def test_damaged_cursor_is_named(tmp_path: Path, content: str) -> None:
    """A cursor file that is none: an error with its path and the remedy."""
    path = tmp_path / "cursors" / "traces" / "otlp.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(StoreError, match=r"otlp\.json .*delete it to forward the whole log"):
        Cursor(tmp_path, "traces", "otlp")


def test_cursor_that_cannot_be_written_stays(tmp_path: Path) -> None:
    """The disk refuses: an error with path and remedy, and the number is not advanced; it never goes back."""
    cursor = Cursor(tmp_path, "traces", "otlp")
    (tmp_path / "cursors").write_text("in the way")
    with pytest.raises(StoreError, match="make the data folder writable"):
        cursor.advance(3)
    assert cursor.sequence == 0
    (tmp_path / "cursors").unlink()
    cursor.advance(3)
    cursor.advance(2)
    assert Cursor(tmp_path, "other", "otlp").sequence == 0
    assert Cursor(tmp_path, "traces", "otlp").sequence == 3


async def test_log_that_cannot_be_understood_stops_forwarding(make: Any, http: Any, side: Any, eventually: Any) -> None:
    """A record of a kind this version does not know: nothing is skipped, health says down with the reason."""
    sequence = side.log.append(b"\x01\x03" + bytes(4))
    exporter = make(http.endpoint)
    await exporter.start()
    await eventually(lambda: bool(side.reports))
    assert side.reports == [("down", side.reports[0][1])]
    assert "upgrade spanward" in side.reports[0][1]
    assert exporter.committed() == sequence - 1


async def test_bug_in_reading_is_reported_and_stops_nothing_else(
    make: Any, http: Any, side: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Reading fails in an unforeseen way once: down, and the next batch brings it back."""

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    batch = side.append("a")
    exporter = make(http.endpoint)
    with monkeypatch.context() as patched:
        patched.setattr("spanward.exporter.otlp.exporter.read_payloads", broken)
        await exporter.start()
        await eventually(lambda: bool(side.reports))
    assert side.reports[0][0] == "down"
    assert "ZeroDivisionError" in caplog.text
    await exporter.consume(batch)
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert side.reports[-1] == ("ok", "")


@pytest.mark.parametrize("place", ["requests_of", "send"])
async def test_record_that_hits_a_bug_is_skipped_and_counted(
    make: Any,
    http: Any,
    side: Any,
    eventually: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
) -> None:
    """An unforeseen error for one record: logged and counted, never retried in a loop; the next one is forwarded."""

    def broken(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise ZeroDivisionError

    target = "exporter.requests_of" if place == "requests_of" else "http_client.HttpClient.send"
    monkeypatch.setattr(f"spanward.exporter.otlp.{target}", broken)
    side.append("a")
    batch = side.append("b")
    exporter = make(http.endpoint)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert http.names == [["b"]]
    assert "ZeroDivisionError" in caplog.text
    name = "spanward_exporter_skipped_records" if place == "requests_of" else "otelcol_exporter_send_failed_spans"
    assert side.metric(f"{name}_total") == 1


@pytest.mark.parametrize(("rejected", "failed"), [(1, 1), (99, 3), (0, 0), (-5, 0)])
async def test_partial_success_is_counted_and_not_retried(
    make: Any,
    http: Any,
    side: Any,
    eventually: Any,
    partially: Any,
    caplog: pytest.LogCaptureFixture,
    rejected: int,
    failed: int,
) -> None:
    """Some (or absurdly many) of three spans refused by the destination: counted, told, sent once."""
    http.script = [(200, {}, partially(rejected, "too old"))]
    batch = side.append("a", "b", "c")
    exporter = make(http.endpoint)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert len(http.arrived) == 1
    assert side.metric("otelcol_exporter_send_failed_spans_total") == failed
    assert side.metric("otelcol_exporter_sent_spans_total") == 3 - failed
    assert "too old" in caplog.text


@pytest.mark.parametrize("kind", ["http", "grpc"])
async def test_answer_that_is_no_message_counts_as_taken(
    make: Any, http: Any, grpc_destination: Any, side: Any, eventually: Any, kind: str
) -> None:
    """A destination that answers success with something else: the spans were taken."""
    http.script = [(200, {}, b"\xff\xff OK")]
    grpc_destination.script = [b"\xff\xff OK"]
    batch = side.append("a")
    exporter = make(http.endpoint if kind == "http" else grpc_destination.endpoint)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert side.metric("otelcol_exporter_sent_spans_total") == 1


@pytest.mark.parametrize("compression", ["gzip", "none"])
async def test_request_over_http_is_what_was_configured(
    make: Any, http: Any, side: Any, eventually: Any, compression: str
) -> None:
    """Path, content type, compression, headers, tenant and labels of a request."""
    batch = side.append("a", tenants=("acme",))
    exporter = make(http.endpoint, compression=compression, headers={"api-key": "k"})
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    (arrived,) = http.arrived
    assert arrived.headers["path"] == "/v1/traces"
    assert arrived.headers["content-type"] == "application/x-protobuf"
    assert arrived.headers.get("content-encoding") == ("gzip" if compression == "gzip" else None)
    assert (arrived.headers["api-key"], arrived.headers["x-tenant"]) == ("k", "acme")
    span = arrived.data.resource_spans[0].scope_spans[0].spans[0]
    assert {pair.key: pair.value.string_value for pair in span.attributes}["spanward.retention"] == "30d"


async def test_request_over_grpc_is_what_was_configured(
    make: Any, grpc_destination: Any, side: Any, eventually: Any
) -> None:
    """Metadata keys in lowercase, no labels when they are off, no tenant when it is off."""
    batch = side.append("a", tenants=("acme", "other"))
    exporter = make(grpc_destination.endpoint, headers={"Api-Key": "k"}, governance=False, tenant_header="")
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    (arrived,) = grpc_destination.arrived
    assert arrived.headers["api-key"] == "k"
    assert "x-tenant" not in arrived.headers
    assert arrived.names == ["a", "a"]
    assert not arrived.data.resource_spans[0].scope_spans[0].spans[0].attributes


async def test_tenants_are_never_mixed(make: Any, http: Any, side: Any, eventually: Any) -> None:
    """A record with two tenants' spans: one request each, under its own name."""
    batch = side.append("a", "b", tenants=("acme", "other"))
    exporter = make(http.endpoint)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert [arrived.headers["x-tenant"] for arrived in http.arrived] == ["acme", "other"]
    assert http.names == [["a", "b"], ["a", "b"]]


async def test_large_record_is_cut_into_requests(make: Any, http: Any, side: Any, eventually: Any) -> None:
    """A record of many spans under a small bound: several requests, each below it, every span once."""
    names = [f"{number:04d}" + "x" * 200 for number in range(300)]
    batch = side.append(*names)
    exporter = make(http.endpoint, max_request_kib=16)
    await exporter.start()
    await eventually(lambda: exporter.committed() == batch.sequence)
    assert len(http.arrived) > 3
    assert max(len(arrived.body) for arrived in http.arrived) <= 16 << 10
    assert [name for arrived in http.arrived for name in arrived.names] == names


async def test_records_without_spans_are_passed_over(make: Any, http: Any, side: Any, eventually: Any) -> None:
    """The log holds other records too: the cursor goes past them, nothing is sent."""
    sequence = side.append_without_spans()
    exporter = make(http.endpoint)
    await exporter.start()
    await eventually(lambda: exporter.committed() == sequence)
    assert http.arrived == []


async def test_batches_that_come_later_are_forwarded(make: Any, http: Any, side: Any, eventually: Any) -> None:
    """A hundred batches after the start: all forwarded in order, and the backlog ends at nothing."""
    exporter = make(http.endpoint)
    await exporter.start()
    for number in range(100):
        await exporter.consume(side.append(str(number)))
    await eventually(lambda: exporter.committed() == side.log.last_sequence)
    assert http.names == [[str(number)] for number in range(100)]
    assert side.metric("otelcol_exporter_queue_size") == 0


def test_requests_are_below_their_bound_or_alone(side: Any) -> None:
    """One span larger than the bound among small ones: it goes alone, and is not lost."""
    side.append("a", "b" * 40_000, "c")
    ((_, payload),) = side.log.reader().records(0)
    requests = requests_of(payload, max_bytes=16 << 10, governance=False, by_tenant=True)
    assert sum(request.spans for request in requests) == 3
    assert [request.spans for request in requests if len(request.body) > 16 << 10] == [1]
