"""What an OTLP endpoint answers, whichever protocol it spoke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse


@dataclass(frozen=True, slots=True)
class Taken:
    """The endpoint has the request.

    Attributes:
        rejected: spans of it that the endpoint refused, which must not be sent again.
        message: what it has to say; "" for nothing.
    """

    rejected: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The endpoint does not have the request.

    Attributes:
        reason: for the log.
        retry: whether the same request may be taken later.
        delay: seconds that the endpoint asks to wait before that; None when it does not say.
    """

    reason: str
    retry: bool = False
    delay: float | None = None


class Transport(Protocol):
    """A way to an endpoint. One request at a time, from any thread; what it opens, it opens with the first one."""

    def send(self, body: bytes, timeout: float) -> Taken | Refused:
        """Send an ExportTraceServiceRequest; never raises on what happens on the way.

        Args:
            body: the request in protobuf.
            timeout: seconds to wait for the answer.
        """
        ...

    def close(self) -> None:
        """End the connection, and a request that is on its way."""
        ...


def read_response(body: bytes) -> Taken:
    """The response to a request that was taken; what is no response says nothing."""
    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Taken()
    return Taken(partial.rejected_spans, partial.error_message)
