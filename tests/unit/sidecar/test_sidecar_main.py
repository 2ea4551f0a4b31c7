"""The command's entry point."""

from __future__ import annotations

import os

import pytest

from spanward.sidecar.main import main


@pytest.mark.parametrize(("before", "after"), [(None, "0"), ("1", "1")])
def test_huge_pages_are_off_unless_somebody_said_otherwise(
    monkeypatch: pytest.MonkeyPatch, before: str | None, after: str
) -> None:
    """Arrow's allocator is told before pyarrow is loaded; what the environment says already stays."""
    monkeypatch.setenv("MIMALLOC_ALLOW_THP", before or "")
    if before is None:
        monkeypatch.delenv("MIMALLOC_ALLOW_THP")
    monkeypatch.setattr("spanward.sidecar.cli.app", lambda: None)
    main()
    assert os.environ["MIMALLOC_ALLOW_THP"] == after
