"""What people ask of a table of traces at Jaeger's page, each call about another subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from bench.fresh_ids import FreshRequest
from bench.vocabulary import LLM, MODELS, SHOP, USER_AGENTS
from bench.workload import EPOCH_NS, Workload
from spanward.extension.jaeger import storage_pb2 as pb

_CALL_SECONDS: Final = 120.0
_AT_MOST: Final = 20
_HOUR_NS: Final = 3_600_000_000_000
_DURATIONS_MS: Final = (10, 20, 50)
_STATUS = ("http.response.status_code", ("200", "204", "500", "503"))


class Questions:
    """Calls of Jaeger's storage API; each returns how many traces, services or operations it was answered with."""

    def __init__(self, reader: Any, workload: Workload, rounds: int, random: Random) -> None:
        """Prepare them.

        Args:
            reader: a stub of the storage API.
            workload: what the table was filled with.
            rounds: how often, each round later by the workload's length; traces of any of them are asked for.
            random: chooses the subjects.
        """
        self._reader = reader
        self._workload = workload
        self._rounds = rounds
        self._random = random

    def by_name(self) -> dict[str, Callable[[], int]]:
        """All of them."""
        return {
            "trace by id": self.trace,
            "search": self.search,
            "services": self.services,
            "operations": self.operations,
        }

    def trace(self) -> int:
        """One whole trace."""
        body = self._random.choice(self._workload.requests)
        body = FreshRequest(body, apart_ns=self._workload.length_ns).copy(self._random.randint(1, self._rounds))
        resource = self._random.choice(ExportTraceServiceRequest.FromString(body).resource_spans)
        wanted = pb.GetTraceParams(trace_id=self._random.choice(resource.scope_spans[0].spans).trace_id)
        return _traces(self._reader.GetTraces(pb.GetTracesRequest(query=[wanted]), timeout=_CALL_SECONDS))

    def search(self) -> int:
        """Twenty traces of the last hour with a span of a service, with a tag and at least a duration."""
        service = self._random.choice((*SHOP, *LLM))
        payload = ("gen_ai.request.model", MODELS) if service in LLM else ("user_agent.original", USER_AGENTS)
        key, values = self._random.choice((_STATUS, payload))
        query = pb.TraceQueryParameters(service_name=service, search_depth=_AT_MOST)
        query.attributes.add(key=key).value.string_value = self._random.choice(values)
        end_ns = EPOCH_NS + (self._rounds + 1) * self._workload.length_ns
        query.start_time_min.FromNanoseconds(end_ns - _HOUR_NS)
        query.start_time_max.FromNanoseconds(end_ns)
        query.duration_min.FromMilliseconds(self._random.choice(_DURATIONS_MS))
        return _traces(self._reader.FindTraces(pb.FindTracesRequest(query=query), timeout=_CALL_SECONDS))

    def services(self) -> int:
        """Every service."""
        return len(self._reader.GetServices(pb.GetServicesRequest(), timeout=_CALL_SECONDS).services)

    def operations(self) -> int:
        """The operations of a service."""
        request = pb.GetOperationsRequest(service=self._random.choice((*SHOP, *LLM)))
        return len(self._reader.GetOperations(request, timeout=_CALL_SECONDS).operations)


def _traces(chunks: Iterable[TracesData]) -> int:
    """How many traces a stream holds."""
    return len(
        {
            span.trace_id
            for chunk in chunks
            for resource in chunk.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }
    )
