"""What becomes of the good spans of a request, whoever decoded it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class GovernedRows:
    """Rows, and what was found on the way.

    Attributes:
        rows: schema SPANS.
        dropped: spans that a rule said not to store.
        pii: spans that held personal data, by its type.
        violations: spans that broke a quality rule, by its name.
    """

    rows: pa.RecordBatch
    dropped: int
    pii: Mapping[str, int]
    violations: Mapping[str, int]
