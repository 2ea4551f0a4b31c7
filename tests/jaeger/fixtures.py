"""Fixtures for the tests that run a real Jaeger: `pytest_plugins = ("tests.jaeger.fixtures",)`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.jaeger.process import find_binary
from tests.jaeger.proof import Proof, running_proof


@pytest.fixture(scope="session")
def jaeger_binary() -> Path:
    """The Jaeger to run; without one the test is skipped, saying how to get one."""
    binary, how = find_binary(os.environ)
    if binary is None:
        pytest.skip(how)
    return binary


@pytest.fixture(scope="module")
def proof(jaeger_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    """Jaeger over a sidecar with the HotROD recording and what the stock SDK sends."""
    with running_proof(jaeger_binary, tmp_path_factory.mktemp("jaeger")) as running:
        yield running
