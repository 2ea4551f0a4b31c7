"""A stock OTLP endpoint for tests, over HTTP and gRPC: it keeps what it is sent."""

from __future__ import annotations

import gzip
import ssl
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass
class Collector:
    """What came in.

    Attributes:
        endpoint: where to send, without a path.
        requests: every request that was taken, decoded.
        headers: of every request, keys in lower case.
        bodies: the raw messages, decompressed.
        refuse: how many more requests are answered with 400.
        answers: what the next requests get instead of being taken: status, headers, body; over gRPC code and trailers.
        response: what requests that are taken get.
    """

    endpoint: str
    requests: list[ExportTraceServiceRequest] = field(default_factory=list[ExportTraceServiceRequest])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    bodies: list[bytes] = field(default_factory=list[bytes])
    refuse: int = 0
    answers: deque[tuple[int, dict[str, Any], bytes]] = field(default_factory=deque[tuple[int, dict[str, Any], bytes]])
    response: ExportTraceServiceResponse = field(default_factory=ExportTraceServiceResponse)

    def resource_spans(self) -> list[ResourceSpans]:
        """All spans, by resource."""
        return [group for request in self.requests for group in request.resource_spans]

    def spans(self) -> list[Span]:
        """All spans, in the order of their coming."""
        return [span for group in self.resource_spans() for scope in group.scope_spans for span in scope.spans]

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Keep a request."""
        self.headers.append(headers)
        self.bodies.append(body)
        self.requests.append(ExportTraceServiceRequest.FromString(body))


def attributes(span: Span) -> dict[str, Any]:
    """Scalar attributes as Python values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value") for pair in span.attributes}


@contextmanager
def http_collector(tls: ssl.SSLContext | None = None) -> Generator[Collector, None, None]:
    """An OTLP/HTTP endpoint on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            if collector.answers:
                self.answer(*collector.answers.popleft())
                return
            accepted = self.path == "/v1/traces" and collector.refuse == 0
            if accepted:
                collector.take(body, {key.lower(): value for key, value in self.headers.items()})
            else:
                collector.refuse = max(collector.refuse - 1, 0)
            said = {"content-type": "application/x-protobuf"}
            self.answer(*((200, said, collector.response.SerializeToString()) if accepted else (400, {}, b"")))

        def answer(self, status: int, headers: dict[str, Any], body: bytes) -> None:
            self.send_response(status)
            for key, value in {**headers, "content-length": len(body)}.items():
                self.send_header(key, str(value))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        scheme = "http" if tls is None else "https"
        collector = Collector(f"{scheme}://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def grpc_collector(credentials: grpc.ServerCredentials | None = None) -> Generator[Collector, None, None]:
    """An OTLP/gRPC endpoint on a free port."""

    class Servicer(TraceServiceServicer):
        def Export(  # noqa: N802 - the service names it
            self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            if collector.answers:
                code, trailers, details = collector.answers.popleft()
                context.set_trailing_metadata(tuple(trailers.items()))
                context.abort(CODES[code], details.decode())
            headers = {key: str(value) for key, value in context.invocation_metadata()}
            collector.take(request.SerializeToString(), headers)
            return collector.response

    server = grpc.server(ThreadPoolExecutor(2))
    place = "127.0.0.1:0"
    if credentials is None:
        collector = Collector(f"http://127.0.0.1:{server.add_insecure_port(place)}")
    else:
        collector = Collector(f"https://127.0.0.1:{server.add_secure_port(place, credentials)}")
    add_TraceServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]  # generated code without types
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
