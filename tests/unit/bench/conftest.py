"""The benchmark is no installed package: its folder's parent has to be on the path."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

ROOT = str(Path(__file__).parents[3])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)


@pytest.fixture(scope="session")
def generator() -> str:
    """The load generator, built once."""
    if shutil.which("go") is None:
        pytest.skip("the load generator is built with Go, which is not on PATH")
    from bench.load import generator as build

    return build()
