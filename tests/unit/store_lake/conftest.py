"""A lake in a temporary folder, at a time that the test decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from spanward.store.clock import ManualClock
from spanward.store.span_store import SpanStore


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def store(data: Path, clock: ManualClock) -> Iterator[SpanStore]:
    opened = SpanStore.open(data, clock=clock)
    yield opened
    opened.close()
