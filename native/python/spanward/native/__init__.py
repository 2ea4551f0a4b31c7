"""The compiled kernel: OTLP to governed Arrow arrays, spans to governed OTLP, and the gRPC server before it.

Optional. Where it is installed the sidecar and the SDK use it; where it is not, the pure-Python twin in
`spanward.processor` makes the same rows and requests, and grpcio serves the same clients, slower.
"""

from __future__ import annotations

from spanward.native._native import Decoded, GrpcCall, GrpcServer, HeldSpan, Kernel, SpanEncoder, TextPolicy, find, hold

__all__ = ["Decoded", "GrpcCall", "GrpcServer", "HeldSpan", "Kernel", "SpanEncoder", "TextPolicy", "find", "hold"]
