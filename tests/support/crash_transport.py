"""How the clients of the crash tests reach the sidecar: OTLP over gRPC and over HTTP, byte by byte."""

from __future__ import annotations

import http.client
import random
import time
from typing import Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from tests.support.crash_process import Endpoints

_METHOD: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_CALL_SECONDS: Final = 20.0
_RETRYABLE_GRPC: Final = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DATA_LOSS,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
_RETRYABLE_HTTP: Final = {429, 502, 503, 504}


class LostAnswerError(Exception):
    """No answer came: the request may have been taken or not."""


class RefusedError(Exception):
    """The sidecar refused for good, or in part, what it must take."""


class Transport:
    """One client's connection to wherever the sidecar is."""

    def send(self, payload: bytes, where: Endpoints) -> None:
        """Send and wait for the acknowledgement.

        Raises:
            LostAnswerError: none came; send again.
            RefusedError: the sidecar will not take it.
        """
        raise NotImplementedError

    def cut(self, payload: bytes, where: Endpoints, rng: random.Random) -> None:
        """Send and go away without an answer; never raises for a connection that is lost."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the connection."""


class GrpcTransport(Transport):
    """OTLP/gRPC, raw bytes."""

    def __init__(self) -> None:
        self._target = ""
        self._channel: grpc.Channel | None = None

    def send(self, payload: bytes, where: Endpoints) -> None:
        """See Transport."""
        try:
            answer = self._stub(where)(payload, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            code = error.code()
            if code in _RETRYABLE_GRPC:
                raise LostAnswerError from error
            raise RefusedError(str(error)) from error
        _require_whole(answer)

    def cut(self, payload: bytes, where: Endpoints, rng: random.Random) -> None:
        """See Transport."""
        call = self._stub(where).future(payload, timeout=_CALL_SECONDS)
        time.sleep(rng.random() * 0.02)
        call.cancel()  # type: ignore[no-untyped-call]  # grpc types it in part

    def close(self) -> None:
        """See Transport."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def _stub(self, where: Endpoints) -> grpc.UnaryUnaryMultiCallable[bytes, bytes]:
        if self._channel is None or self._target != where.grpc:
            self.close()
            self._target = where.grpc
            self._channel = grpc.insecure_channel(where.grpc, options=[("grpc.enable_retries", 0)])
        return self._channel.unary_unary(_METHOD, None, None)  # bytes in, bytes out


class HttpTransport(Transport):
    """OTLP/HTTP with protobuf, one connection kept alive."""

    def __init__(self) -> None:
        self._target = ""
        self._connection: http.client.HTTPConnection | None = None

    def send(self, payload: bytes, where: Endpoints) -> None:
        """See Transport."""
        connection = self._connect(where)
        try:
            connection.request("POST", "/v1/traces", payload, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise LostAnswerError from error
        if answer.status in _RETRYABLE_HTTP:
            raise LostAnswerError
        if answer.status != 200:
            raise RefusedError(f"HTTP {answer.status}: {content[:200]!r}")
        _require_whole(content)

    def cut(self, payload: bytes, where: Endpoints, rng: random.Random) -> None:
        """See Transport."""
        self.close()
        connection = self._connect(where)
        part = payload if rng.random() < 0.5 else payload[: rng.randrange(len(payload))]
        try:
            connection.putrequest("POST", "/v1/traces")
            connection.putheader("Content-Type", "application/x-protobuf")
            connection.putheader("Content-Length", str(len(payload)))
            connection.endheaders(part)
            time.sleep(rng.random() * 0.02)
        except (OSError, http.client.HTTPException):
            pass  # what was to be cut is gone already
        finally:
            self.close()

    def close(self) -> None:
        """See Transport."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self, where: Endpoints) -> http.client.HTTPConnection:
        if self._connection is None or self._target != where.http:
            self.close()
            self._target = where.http
            self._connection = http.client.HTTPConnection(where.http, timeout=_CALL_SECONDS)
        return self._connection


def _require_whole(answer: bytes) -> None:
    rejected = ExportTraceServiceResponse.FromString(answer).partial_success.rejected_spans
    if rejected:
        raise RefusedError(f"{rejected} spans were rejected: {answer!r}")
