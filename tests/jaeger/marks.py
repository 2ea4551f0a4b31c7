"""How every test with a real Jaeger is marked."""

from __future__ import annotations

import os
from typing import Final

import pytest

_SECONDS: Final = 3600 if os.environ.get("SPANWARD_JAEGER_BUILD") == "1" else 300  # the first test may have to build

REAL_JAEGER: Final = [
    pytest.mark.jaeger,
    pytest.mark.xdist_group("jaeger"),  # one worker, one after the other: the machine may be small
    pytest.mark.timeout(_SECONDS),
]
