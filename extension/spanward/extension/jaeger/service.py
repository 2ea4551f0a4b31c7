"""Jaeger's two services over trace queries."""

# ruff: noqa: N802 - the methods are named by the interface

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.extension.jaeger import messages
from spanward.extension.jaeger import storage_pb2 as pb
from spanward.extension.jaeger.calls import Calls, Context
from spanward.extension.jaeger.storage_pb2_grpc import DependencyReaderServicer, TraceReaderServicer
from spanward.store.otlp import traces_data_chunks
from spanward.store.query import TraceQuery, TraceReader

_SUMMARIES_AT_ONCE: Final = 100  # a few hundred bytes each: far below any message bound


@dataclass(frozen=True, slots=True)
class Encoding:
    """How traces are written.

    Attributes:
        max_bytes: every message stays below, unless a single span is larger.
        governance: whether the policy's verdict is shown as attributes.
    """

    max_bytes: int
    governance: bool


class TraceReaderService(TraceReaderServicer):
    """Services, operations, searches and whole traces."""

    def __init__(self, reader: TraceReader, calls: Calls, encoding: Encoding) -> None:
        self._reader = reader
        self._calls = calls
        self._encoding = encoding

    async def GetTraces(self, request: pb.GetTracesRequest, context: Context) -> AsyncIterator[TracesData]:
        """Whole traces by id. The time hints of a request are not needed and not looked at."""
        tenant = self._calls.tenant(context)

        def read() -> Iterator[TracesData]:
            return self._encode(tenant, [messages.trace_id(one.trace_id) for one in request.query])

        async for data in self._calls.stream(context, read):
            yield data

    async def FindTraces(self, request: pb.FindTracesRequest, context: Context) -> AsyncIterator[TracesData]:
        """Whole traces that a query finds, newest first."""
        tenant = self._calls.tenant(context)

        def read() -> Iterator[TracesData]:
            found = self._reader.trace_ids(tenant, messages.trace_query(request.query))
            return self._encode(tenant, [trace.trace_id for trace in found])

        async for data in self._calls.stream(context, read):
            yield data

    async def FindTraceIDs(self, request: pb.FindTraceIDsRequest, context: Context) -> pb.FindTraceIDsResponse:
        """Their ids, with first start and last end."""
        query, tenant = messages.trace_query(request.query), self._calls.tenant(context)
        found = await self._calls.answer(context, lambda: self._reader.trace_ids(tenant, query))
        return messages.found_trace_ids(found)

    async def FindTraceSummaries(
        self, request: pb.FindTraceSummariesRequest, context: Context
    ) -> AsyncIterator[pb.FindTraceSummariesResponse]:
        """Each in one line, in messages of some."""
        query, tenant = messages.trace_query(request.query), self._calls.tenant(context)
        async for response in self._calls.stream(context, lambda: self._summaries(tenant, query)):
            yield response

    async def GetServices(self, _request: pb.GetServicesRequest, context: Context) -> pb.GetServicesResponse:
        """The names of all services."""
        tenant = self._calls.tenant(context)
        services = await self._calls.answer(context, lambda: self._reader.services(tenant))
        return pb.GetServicesResponse(services=services)

    async def GetOperations(self, request: pb.GetOperationsRequest, context: Context) -> pb.GetOperationsResponse:
        """The operations of a service, each with its kind."""
        tenant, kind = self._calls.tenant(context), messages.kind_word(request.span_kind)
        found = await self._calls.answer(context, lambda: self._reader.operations(tenant, request.service, kind))
        return messages.operations(found)

    def _encode(self, tenant: str, trace_ids: Sequence[str]) -> Iterator[TracesData]:
        """Messages of one trace each, those of one trace in a row."""
        for trace in self._reader.traces(tenant, trace_ids):
            yield from traces_data_chunks(
                trace, max_bytes=self._encoding.max_bytes, governance=self._encoding.governance
            )

    def _summaries(self, tenant: str, query: TraceQuery) -> Iterator[pb.FindTraceSummariesResponse]:
        found = [messages.summary(trace) for trace in self._reader.summaries(tenant, query)]
        for first in range(0, len(found), _SUMMARIES_AT_ONCE):
            yield pb.FindTraceSummariesResponse(summaries=found[first : first + _SUMMARIES_AT_ONCE])


class DependencyReaderService(DependencyReaderServicer):
    """The graph of services."""

    def __init__(self, reader: TraceReader, calls: Calls) -> None:
        self._reader = reader
        self._calls = calls

    async def GetDependencies(self, request: pb.GetDependenciesRequest, context: Context) -> pb.GetDependenciesResponse:
        """Which service called which, and how often, among the spans that started in the window."""
        tenant, (start_ns, end_ns) = self._calls.tenant(context), messages.window(request)
        found = await self._calls.answer(context, lambda: self._reader.dependencies(tenant, start_ns, end_ns))
        return messages.dependencies(found)
