"""What SQL may be: one statement that reads the views, and nothing that reaches past them.

External access is off in the connection, which keeps files, extensions and the network away. That is not enough: some
of DuckDB's table functions take raw memory addresses (`pandas_scan(NULL)` ends the process), and `query('…')` runs text
that nobody has looked at. So the statement's own parse tree is read, and only table functions that are known to be
harmless may stand in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from spanward.store.errors import InvalidRequestError

_TABLE_FUNCTIONS: Final = frozenset(
    {
        "duckdb_columns", "duckdb_functions", "duckdb_keywords", "duckdb_tables", "duckdb_types", "duckdb_views",
        "generate_series", "json_each", "json_tree", "pragma_table_info", "range", "repeat", "repeat_row", "unnest",
    },
)  # fmt: skip

_EXPLAIN: Final = re.compile(r"\s*explain\s+(?:analyze\s+)?(?=[a-z(])", re.IGNORECASE)
_ONLY_READS: Final = "only reading is allowed: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN"


def check(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Let the statement pass, or say why not. Nothing of it is run.

    Raises:
        InvalidRequestError: it does not parse, is not exactly one statement, is one that does more than read, or uses
            a table function that is not allowed.
    """
    explained = _EXPLAIN.match(sql)
    statements = _parse(connection, sql[explained.end() :] if explained else sql)
    if len(statements) != 1:
        raise InvalidRequestError(f"SQL must be one statement, not {len(statements)}; send them one by one")
    for name in _table_functions(statements):
        if name.lower() not in _TABLE_FUNCTIONS:
            raise InvalidRequestError(
                f"SQL may not call {name}(): it reaches past the views; read spans, traces, errors, ..."
            )


def _parse(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Any]:
    """The parse trees of the statements; DuckDB makes them of reading statements only."""
    row = connection.execute("SELECT json_serialize_sql($1)", [sql]).fetchone()
    document: dict[str, Any] = json.loads(row[0]) if row else {}
    if document.get("error_type") == "not implemented":
        raise InvalidRequestError(f"SQL refused: {_ONLY_READS}")
    if document.get("error"):
        raise InvalidRequestError(f"SQL: {document.get('error_message')}")
    return list(document["statements"])


def _table_functions(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if node.get("type") == "TABLE_FUNCTION":
            yield node["function"]["function_name"]
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from _table_functions(child)
