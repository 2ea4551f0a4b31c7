"""docs/sql.md promises statements that run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spanward.store.sql import query
from tests.unit.reading.support import MemoryStore, span

PAGE = (Path(__file__).parents[3] / "docs" / "sql.md").read_text()
BLOCKS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
STATEMENTS = [text.strip() for block in BLOCKS for text in block.split(";") if text.strip()]


def test_the_page_has_statements() -> None:
    """Scenario: the page is rewritten. Guarantee: this module still finds what it tries."""
    assert len(STATEMENTS) >= 5


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_statement_of_the_page_runs(statement: str) -> None:
    """Scenario: a reader copies it. Guarantee: DuckDB takes it, with the columns it names."""
    store = MemoryStore(default=[span(1, 1, status_code=2)])
    assert query(store, statement).num_columns > 0
