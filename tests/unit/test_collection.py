"""The names of the tests are the same in every process that collects them."""

from __future__ import annotations

import gzip

import pytest


@pytest.mark.parametrize("body", [gzip.compress(b"x", mtime=1), gzip.compress(b"x", mtime=2)])
def test_bytes_are_named_by_their_length(body: bytes, request: pytest.FixtureRequest) -> None:
    """Two parameters of equal length and other content: no byte of the content is part of a test's name."""
    assert request.node.name.rstrip("01]").endswith(f"[{len(body)}-bytes")
