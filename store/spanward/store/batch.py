"""What flows between components."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa


class Signal(StrEnum):
    """OpenTelemetry's signals; logs and metrics have doors, traces have a house."""

    TRACES = "traces"
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one signal: governed, immutable, shared by all consumers without a copy.

    Attributes:
        signal: what the rows are; TRACES rows have the schema `spanward.store.schema.SPANS`.
        rows: the data, possibly of several tenants.
        sequence: number of the intake log record that holds the rows, 0 before they are logged. Numbers of one log
            rise by one a record and are never used again.
    """

    signal: Signal
    rows: pa.RecordBatch
    sequence: int = 0

    def __len__(self) -> int:
        return int(self.rows.num_rows)
