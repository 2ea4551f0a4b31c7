"""The compiled kernel: OTLP bytes to governed Arrow arrays in one pass, and spans to governed OTLP bytes.

Optional. Where it is installed the sidecar and the SDK use it; where it is not, the pure-Python twin in
`spanward.processor` makes the same rows and requests, slower.
"""

from __future__ import annotations

from spanward.native._native import Decoded, Kernel, SpanEncoder, find

__all__ = ["Decoded", "Kernel", "SpanEncoder", "find"]
