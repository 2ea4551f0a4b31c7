"""Fixtures of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running import RunningSidecar, default_config, start_sidecar


@pytest.fixture
def sidecar(tmp_path: Path) -> Iterator[RunningSidecar]:
    """The default sidecar on free ports."""
    running = start_sidecar(default_config(), tmp_path / "data")
    try:
        yield running
    finally:
        running.stop()
