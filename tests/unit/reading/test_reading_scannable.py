"""The dataset that DuckDB scans: projection and filter reach the files, and no reader holds the interpreter's lock."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from spanward.store._scannable import ScannableDataset


@pytest.fixture
def behind() -> ds.Dataset:
    """A thousand rows in memory."""
    return ds.dataset(pa.table({"n": range(1000), "text": ["x" * 10] * 1000}))


def test_duckdb_reads_it_as_a_dataset(behind: ds.Dataset) -> None:
    """Scenario: a statement uses the table twice and stops early. Guarantee: right rows each time."""
    with duckdb.connect() as connection:
        connection.register("t", ScannableDataset(behind))
        both = connection.execute("select count(*), (select max(n) from t) from t where n < 10").fetchall()
        first = connection.execute("select n from t limit 1").fetchall()
    assert both == [(10, 999)]
    assert len(first) == 1


def test_projection_and_filter_are_pushed_down(behind: ds.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: one column of two under a condition. Guarantee: the dataset behind is asked for just that."""
    asked: list[dict[str, Any]] = []
    dataset = ScannableDataset(behind)
    scanner = ScannableDataset.scanner

    def spy(self: ScannableDataset, **options: Any) -> Any:
        asked.append(options)
        return scanner(self, **options)

    monkeypatch.setattr(ScannableDataset, "scanner", spy)
    with duckdb.connect() as connection:
        connection.register("t", dataset)
        assert connection.execute("select n from t where n = 7").fetchall() == [(7,)]
    assert asked[-1]["columns"] == ["n"]
    assert "7" in str(asked[-1]["filter"])
