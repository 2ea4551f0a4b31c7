"""What the exporter asks of a transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess


class Client(Protocol):
    """Sends ExportTraceServiceRequests, one answer each."""

    async def send(self, body: bytes, headers: Mapping[str, str]) -> ExportTracePartialSuccess:
        """Send one encoded request, once.

        Raises:
            RetryableError: it may be taken later; with the wait that the server asked for.
            PermanentError: it never will be.
        """
        ...

    async def close(self) -> None:
        """Let the connection go. Idempotent."""
        ...
