"""Numbering combinations of column values."""

from __future__ import annotations

import pyarrow as pa
import pytest

from spanward.connector.percentiles import grouping
from spanward.connector.percentiles.grouping import group_rows


@pytest.mark.parametrize("limit", [0, 1 << 20], ids=["by sorting", "by counting"])
def test_groups_are_the_combinations(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: two columns, chunks, a null, both ways of counting. Guarantee: same group, same values, no gaps."""
    monkeypatch.setattr(grouping, "_COUNTING_LIMIT", limit)
    letters = pa.chunked_array([["a", "b", None], ["a", None, "b"]])
    numbers = pa.array([1, 2, 1, 1, 1, 3])
    groups = group_rows([letters, numbers], 6)
    assert groups.size == len(set(groups.of_row.tolist())) == 4
    rows = list(zip(letters.to_pylist(), numbers.to_pylist(), strict=True))
    for row, group in enumerate(groups.of_row.tolist()):
        assert rows[groups.some_row[group]] == rows[row]


def test_without_columns_or_rows() -> None:
    """Scenario: no columns, no rows. Guarantee: one group, no group."""
    assert group_rows([], 3).of_row.tolist() == [0, 0, 0]
    assert group_rows([pa.array([], pa.string())], 0).size == 0
