"""A stock OTLP endpoint for tests, over HTTP and gRPC: it keeps what it is sent."""

from __future__ import annotations

import gzip
import threading
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


@dataclass
class Collector:
    """What came in.

    Attributes:
        endpoint: where to send, without a path.
        requests: every request that was taken, decoded.
        headers: of every request, keys in lower case.
        bodies: the raw messages, decompressed.
        refuse: how many more requests are answered with 400.
    """

    endpoint: str
    requests: list[ExportTraceServiceRequest] = field(default_factory=list[ExportTraceServiceRequest])
    headers: list[dict[str, str]] = field(default_factory=list[dict[str, str]])
    bodies: list[bytes] = field(default_factory=list[bytes])
    refuse: int = 0

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
def http_collector() -> Generator[Collector, None, None]:
    """An OTLP/HTTP endpoint on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            accepted = self.path == "/v1/traces" and collector.refuse == 0
            if accepted:
                collector.take(body, {key.lower(): value for key, value in self.headers.items()})
            else:
                collector.refuse = max(collector.refuse - 1, 0)
            self.send_response(200 if accepted else 400)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield collector
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def grpc_collector() -> Generator[Collector, None, None]:
    """An OTLP/gRPC endpoint on a free port."""

    class Servicer(TraceServiceServicer):
        def Export(  # noqa: N802 - the service names it
            self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
        ) -> ExportTraceServiceResponse:
            headers = {key: str(value) for key, value in context.invocation_metadata()}
            collector.take(request.SerializeToString(), headers)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    port = server.add_insecure_port("127.0.0.1:0")
    collector = Collector(f"http://127.0.0.1:{port}")
    add_TraceServiceServicer_to_server(Servicer(), server)  # type: ignore[no-untyped-call]  # generated code without types
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
