"""The `memory` exporter."""

from __future__ import annotations

from collections import deque

import pyarrow as pa

from spanward.exporter.memory.config import MemoryExporterConfig
from spanward.sidecar.component import Host
from spanward.store.batch import Batch


class MemoryExporter:
    """Keeps the newest batches. What it has had it never needs again: `committed` is what it last consumed."""

    def __init__(self, config: MemoryExporterConfig, host: Host) -> None:
        del host  # it needs nothing of the sidecar
        self._batches: deque[Batch] = deque(maxlen=config.max_batches)
        self._committed = 0

    async def start(self) -> None:
        """Nothing to open."""

    async def shutdown(self) -> None:
        """Nothing to let go; the batches stay readable. Idempotent."""

    async def consume(self, batch: Batch) -> None:
        """Take a batch; one that came before is a replay and ignored."""
        if batch.sequence > self._committed:
            self._batches.append(batch)
            self._committed = batch.sequence

    def committed(self) -> int:
        """See `spanward.sidecar.component.Consumer`."""
        return self._committed

    def batches(self) -> tuple[Batch, ...]:
        """What is kept, oldest first."""
        return tuple(self._batches)

    def rows(self) -> list[pa.RecordBatch]:
        """The kept batches' rows, oldest first."""
        return [batch.rows for batch in self._batches]
