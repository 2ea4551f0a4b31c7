"""The compiled kernel: OTLP bytes to governed Arrow arrays in one pass.

Optional. Where it is installed the sidecar uses it; where it is not, the pure-Python twin in `spanward.processor` makes
the same rows, slower.
"""

from __future__ import annotations

from spanward.native._native import Decoded, Kernel, find

__all__ = ["Decoded", "Kernel", "find"]
