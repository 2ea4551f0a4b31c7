"""OTLP over gRPC: what is refused and how, then what is taken."""

from __future__ import annotations

import gzip
import logging
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from spanward.sidecar.component import Encoding, IngestResult
from spanward.store.errors import InvalidRequestError, KeyringError, OverloadedError, RetryableError

MIB = 1 << 20

pytestmark = pytest.mark.parametrize("engine", ["native", "python"], indirect=True)


def trailers_of(error: Any) -> dict[str, Any]:
    """Trailing metadata, whose pairs the stubs do not know."""
    return dict(error.trailing_metadata() or ())


@pytest.mark.parametrize(
    ("failure", "code", "retry_seconds", "text"),
    [
        (InvalidRequestError("not a message: byte 3"), grpc.StatusCode.INVALID_ARGUMENT, None, "not a message: byte 3"),
        (OverloadedError("full", retry_after=2.5), grpc.StatusCode.RESOURCE_EXHAUSTED, 2.5, "full"),
        (RetryableError("the disk is full"), grpc.StatusCode.UNAVAILABLE, 1.0, "the disk is full"),
        (KeyringError("/secret/path"), grpc.StatusCode.UNAVAILABLE, 1.0, "the data folder is not available"),
        (ZeroDivisionError("secret"), grpc.StatusCode.INTERNAL, None, "internal error"),
    ],
)
async def test_failure_of_the_pipeline_has_its_code(
    server: Any,
    failure: Exception,
    code: grpc.StatusCode,
    retry_seconds: float | None,
    text: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each way to fail: its gRPC code, and a Status in the trailers whose RetryInfo is there only if a retry helps."""
    caplog.set_level(logging.CRITICAL)
    server.door.answer = failure
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.call(b"")
    error = caught.value
    assert error.code() is code
    assert text in (error.details() or "")
    assert "secret" not in str(error)
    trailers = trailers_of(error)
    status = Status.FromString(trailers["grpc-status-details-bin"])
    assert (status.code, status.message) == (code.value[0], error.details())
    found = [
        RetryInfo.FromString(detail.value) for detail in status.details if detail.TypeName() == "google.rpc.RetryInfo"
    ]
    assert [info.retry_delay.ToMilliseconds() / 1000 for info in found] == ([retry_seconds] if retry_seconds else [])
    labels = {"receiver": "otlp", "transport": "grpc", "code": code.name}
    assert server.metric("spanward_receiver_refused_requests_total", **labels) == 1


async def test_message_beyond_the_limit_is_refused(server: Any) -> None:
    """Too large as sent, and too large after decompression: RESOURCE_EXHAUSTED without RetryInfo, never retried."""
    for body, options in ((bytes(MIB + 1), {}), (bytes(8 * MIB), {"compression": grpc.Compression.Gzip})):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await server.call(body, **options)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "grpc-status-details-bin" not in trailers_of(caught.value)
    assert server.door.got == []


async def test_other_service_is_unimplemented(server: Any) -> None:
    """Metrics sent here: UNIMPLEMENTED, as gRPC says."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.receiver.grpc_port}") as channel:
        call = channel.unary_unary("/opentelemetry.proto.collector.metrics.v1.MetricsService/Export", None, None)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_request_reaches_the_pipeline_as_it_was_sent(server: Any, compression: grpc.Compression) -> None:
    """With and without gzip: raw bytes, the tenant of the metadata, an empty answer, counted as accepted."""
    server.door.answer = IngestResult(accepted=7)
    body = gzip.compress(b"any bytes") * 50
    answer = await server.call(body, compression=compression, metadata=(("x-tenant", "acme"),))
    assert answer == b""
    assert server.door.got == [(body, Encoding.PROTOBUF, "acme")]
    labels = {"receiver": "otlp", "transport": "grpc"}
    assert server.metric("otelcol_receiver_accepted_spans_total", **labels) == 7


async def test_bad_tenant_is_refused(server: Any) -> None:
    """A tenant name that could not be one: INVALID_ARGUMENT."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await server.call(b"", metadata=(("x-tenant", "../etc"),))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_partial_success_is_told(server: Any) -> None:
    """A span refused beside a good one: OK with the number and the reason."""
    server.door.answer = IngestResult(rejected=1, message="span_id is all zeros", accepted=1)
    partial = ExportTraceServiceResponse.FromString(await server.call(b"")).partial_success
    assert (partial.rejected_spans, partial.error_message) == (1, "span_id is all zeros")
