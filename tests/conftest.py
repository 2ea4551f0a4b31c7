"""What holds for every test of the project."""

from __future__ import annotations

import pytest


def pytest_make_parametrize_id(config: pytest.Config, val: object) -> str | None:
    """Name a parameter of bytes by its length, never by its content.

    Content such as a gzip header holds the time of the import: two workers that collect in different seconds would
    disagree about the names of the tests, and the run would end before the first one.
    """
    return f"{len(val)}-bytes" if isinstance(val, bytes) else None
