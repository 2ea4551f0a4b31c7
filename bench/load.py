"""The load: raw OTLP requests over one gRPC connection, a fixed number of calls in flight, each waited for."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import grpc
import grpc.aio
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bench.fresh_ids import FreshRequest

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_RETRYABLE: Final = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.ABORTED}
_CALL_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.05
_MAX_BYTES: Final = 64 << 20


@dataclass(slots=True)
class LoadResult:
    """What the clients saw.

    Attributes:
        calls: requests that were answered.
        accepted, rejected: spans in them.
        refusals: answers that said to try again, which was done with the same bytes.
        seconds: from the first call to the last answer.
        latencies: seconds of each answered call, refusals and pauses included.
    """

    calls: int = 0
    accepted: int = 0
    rejected: int = 0
    refusals: int = 0
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)

    def latency(self, quantile: float) -> float:
        """A quantile of the latencies in seconds; 0 without calls."""
        ordered = sorted(self.latencies)
        return ordered[min(int(quantile * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Load:
    """Sends requests over and over, each time with ids of their own."""

    def __init__(self, requests: Sequence[bytes], spans_per_request: int, *, in_flight: int) -> None:
        """Prepare the requests.

        Args:
            requests: serialized ExportTraceServiceRequests.
            spans_per_request: spans in each of them.
            in_flight: calls that are under way at any time.
        """
        self._requests = [FreshRequest(body) for body in requests]
        self._spans = spans_per_request
        self._in_flight = in_flight

    async def run(self, target: str, *, seconds: float | None = None, calls: int | None = None) -> LoadResult:
        """Send until `seconds` are over or `calls` are made, whichever comes first; wait for every answer.

        Raises:
            grpc.aio.AioRpcError: the server refused for good, or was not there.
        """
        result, begin = LoadResult(), time.perf_counter()
        end = begin + seconds if seconds is not None else float("inf")
        numbers = itertools.count() if calls is None else iter(range(calls))
        options = [("grpc.max_send_message_length", _MAX_BYTES), ("grpc.max_receive_message_length", _MAX_BYTES)]
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            export = channel.unary_unary(_METHOD, None, ExportTraceServiceResponse.FromString)
            async with asyncio.TaskGroup() as group:
                for _ in range(self._in_flight):
                    group.create_task(self._worker(export, numbers, end, result))
        result.seconds = time.perf_counter() - begin
        return result

    async def _worker(
        self,
        export: grpc.aio.UnaryUnaryMultiCallable[bytes, ExportTraceServiceResponse],
        numbers: Iterable[int],
        end: float,
        result: LoadResult,
    ) -> None:
        for number in numbers:
            if time.perf_counter() >= end:
                return
            again, which = divmod(number, len(self._requests))
            body = self._requests[which].copy(again + 1)
            begin = time.perf_counter()
            answer = await _send(export, body, result)
            result.latencies.append(time.perf_counter() - begin)
            rejected = answer.partial_success.rejected_spans
            result.calls += 1
            result.rejected += rejected
            result.accepted += self._spans - rejected


async def _send(
    export: grpc.aio.UnaryUnaryMultiCallable[bytes, ExportTraceServiceResponse],
    body: bytes,
    result: LoadResult,
) -> ExportTraceServiceResponse:
    while True:
        try:
            return await export(body, timeout=_CALL_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() not in _RETRYABLE:
                raise
            result.refusals += 1
            await asyncio.sleep(_PAUSE_SECONDS)
