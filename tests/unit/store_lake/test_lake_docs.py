"""The column reference that users read is the schema that is stored."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from spanward.store.schema import CLEAR_COLUMNS, PERCENTILES, SPANS

PAGE = (Path(__file__).parents[3] / "docs" / "table.md").read_text()


def documented(section: str) -> dict[str, list[str]]:
    """Column name -> the cells beside it."""
    body = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    table = [line.strip("|").split(" | ") for line in body.splitlines() if line.startswith("| `")]
    return {
        name: [cell.strip() for cell in cells[1:]] for cells in table for name in re.findall(r"`([a-z_]+)`", cells[0])
    }


@pytest.mark.parametrize(("section", "schema"), [("spans", SPANS), ("percentiles", PERCENTILES)])
def test_every_column_is_explained(section: str, schema: pa.Schema) -> None:
    """The page names each column, and none that does not exist."""
    assert documented(section).keys() == set(schema.names)


def test_clear_columns_are_marked() -> None:
    """The page says of each column rightly whether it is readable without a key."""
    marked = {name for name, cells in documented("spans").items() if cells[1] == "yes"}
    assert marked == CLEAR_COLUMNS
