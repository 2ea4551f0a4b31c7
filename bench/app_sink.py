"""An OTLP endpoint that takes everything, for bench/app.py: prints its address, and at the end what it took.

python bench/app_sink.py grpc|http/protobuf
"""

from __future__ import annotations

import gzip
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

BODIES: list[bytes] = []
SERVERS: list[grpc.Server] = []
"""One stops when nobody holds it."""


def serve_grpc() -> str:
    """Start; the endpoint."""

    def export(body: bytes, _: grpc.ServicerContext) -> bytes:
        BODIES.append(body)
        return b""

    handlers = {"Export": grpc.unary_unary_rpc_method_handler(export)}
    service = grpc.method_handlers_generic_handler("opentelemetry.proto.collector.trace.v1.TraceService", handlers)
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers((service,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    SERVERS.append(server)
    return f"http://127.0.0.1:{port}"


class Handler(BaseHTTPRequestHandler):
    """Takes requests over connections that stay open."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Keep the body."""
        body = self.rfile.read(int(self.headers["content-length"]))
        BODIES.append(gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it
        """Say nothing."""


def serve_http() -> str:
    """Start; the endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def main() -> None:
    print(serve_grpc() if sys.argv[1] == "grpc" else serve_http(), flush=True)
    secret = sys.stdin.read().encode()
    spans = [
        span.SerializeToString()
        for body in BODIES
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    print(len(spans), sum(secret in span for span in spans))


if __name__ == "__main__":
    main()
