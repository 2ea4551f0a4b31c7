"""The memory exporter: the newest batches, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from spanward.exporter.memory.config import MemoryExporterConfig
from spanward.exporter.memory.factory import factory
from spanward.exporter.memory.memory import MemoryExporter
from spanward.sidecar.component import Consumer, Host
from tests.support.hosts import close_host, make_host, span_batch


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made, log = make_host(tmp_path / "data", name="exporter/memory")
    yield made
    close_host(made, log)


@pytest.mark.parametrize("options", [{"max_batches": 0}, {"size": 1}])
def test_wrong_options(options: dict[str, int]) -> None:
    """No room at all and unknown keys are refused."""
    with pytest.raises(ValidationError):
        MemoryExporterConfig.model_validate(options)


async def test_keeps_the_newest(host: Host) -> None:
    """Beyond max_batches the oldest goes; replays are ignored; what was consumed counts as committed."""
    exporter = factory.create(MemoryExporterConfig(max_batches=2), host)
    assert isinstance(exporter, MemoryExporter)
    assert isinstance(exporter, Consumer)
    await exporter.start()
    assert exporter.committed() == 0
    for sequence in (1, 2, 3, 2, 3):
        await exporter.consume(span_batch(sequence, received_ns=1))
    assert [batch.sequence for batch in exporter.batches()] == [2, 3]
    assert [rows.num_rows for rows in exporter.rows()] == [1, 1]
    assert exporter.committed() == 3
    await exporter.shutdown()
    await exporter.shutdown()
