"""SQL over the tables, and what it must not reach."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from spanward.store import sql as sql_module
from spanward.store.errors import InvalidRequestError, PermanentError
from spanward.store.sql import query, reading
from tests.unit.reading.support import MemoryStore, span


@pytest.fixture
def store() -> MemoryStore:
    """Two traces of one tenant, one of another."""
    return MemoryStore(
        default=[
            span(1, 1, name="POST /order", duration=100),
            span(1, 2, service="pay", parent=1, start=3, status_code=2, attributes={"error.type": "timeout"}),
            span(2, 1, name="chat", attributes={"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 5}),
        ],
        acme=[span(3, 1, service="other")],
    )


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_parquet('{file}')",
        "SELECT * FROM read_text('{file}')",
        "SELECT * FROM read_csv('{file}')",
        "SELECT * FROM read_blob('{file}')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM sniff_csv('{file}')",
        "SELECT * FROM '{file}'",
        'SELECT * FROM "{file}"',
        "SELECT (SELECT max(content) FROM read_text('{file}'))",
        "FROM spans, LATERAL (FROM read_text('{file}'))",
        "DESCRIBE SELECT * FROM read_text('{file}')",
        "EXPLAIN ANALYZE SELECT * FROM read_text('{file}')",
        "COPY spans TO '{folder}/out'",
        "EXPLAIN ANALYZE COPY spans TO '{folder}/out'",
        "COPY (SELECT 1) TO '{folder}/out'",
        "EXPORT DATABASE '{folder}/out'",
        "IMPORT DATABASE '{folder}'",
        "ATTACH '{folder}/out'",
        "PRAGMA database_list",
        "/* quiet */ PRAGMA version",
        "CALL pragma_version()",
        "SELECT getenv('HOME')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "RESET threads",
        "SET enable_external_access = true",
        "SET VARIABLE a = 1",
        "CREATE TABLE t AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "DROP VIEW traces",
        "INSERT INTO spans SELECT * FROM spans",
        "DELETE FROM spans",
        "PREPARE p AS SELECT 1",
        "BEGIN",
        "CHECKPOINT",
        "SELECT * FROM pandas_scan(NULL)",
        'SELECT * FROM "PANDAS_SCAN"(NULL)',
        "SELECT * FROM system.main.arrow_scan(NULL, NULL, NULL)",
        "WITH q AS (SELECT * FROM pandas_scan(NULL)) SELECT 1",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('spans')",
        "SELECT * FROM json_execute_serialized_sql('x')",
        "SELECT * FROM secret_of_the_host",
        "SELECT 1; SELECT 2",
        "",
        "-- nothing",
        "SELEC 1",
        "SELECT no_such_column FROM spans",
    ],
)
def test_attacks_and_mistakes_are_refused(store: MemoryStore, tmp_path: Path, statement: str) -> None:
    """Scenario: statements that reach past the views, change something, or are wrong.

    Guarantee: each is refused in one line, nothing is read or written outside, and the process lives on.
    """
    secret_of_the_host = pa.table({"secret": ["s3cret"]})  # a Python variable that DuckDB would find by itself
    (tmp_path / "file.csv").write_text("s3cret\n")
    text = statement.replace("{file}", str(tmp_path / "file.csv")).replace("{folder}", str(tmp_path))
    with pytest.raises(InvalidRequestError, match="^SQL") as told:  # noqa: RUF043 - an anchor is meant
        query(store, text)
    assert "\n" not in str(told.value)
    assert "s3cret" not in str(told.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file.csv"]
    assert secret_of_the_host.num_rows == 1


def test_settings_stay_as_they_are_set(store: MemoryStore) -> None:
    """Scenario: a look at the settings. Guarantee: no external access, no spilling, locked, UTC."""
    names = ("enable_external_access", "temp_directory", "lock_configuration", "TimeZone", "python_enable_replacements")
    columns = ", ".join(f"current_setting('{name}') AS \"{name}\"" for name in names)
    (row,) = query(store, f"SELECT {columns}").to_pylist()
    assert tuple(row.values()) == (False, "", True, "UTC", False)


def test_a_statement_that_takes_too_long_is_ended(store: MemoryStore) -> None:
    """Scenario: an endless cross product with a time limit. Guarantee: a clear error, and no thread left behind."""
    endless = "SELECT count(*) FROM range(1000000000) a, range(1000000000) b"
    with pytest.raises(PermanentError, match="longer than its limit"):
        query(store, endless, timeout_seconds=0.05)
    assert not any(thread.name == "spanward-sql-deadline" for thread in threading.enumerate())
    assert query(store, "SELECT 1 AS one", timeout_seconds=60).to_pylist() == [{"one": 1}]


def test_memory_that_runs_out_is_told(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: a sort larger than memory, with nowhere to spill. Guarantee: a clear error with the remedy."""
    monkeypatch.setattr(sql_module, "_CONFIG", {**sql_module._CONFIG, "memory_limit": "20MB"})
    with pytest.raises(PermanentError, match="more memory than there is; read less"):
        query(store, "SELECT a.range || 'x' AS s, b.range FROM range(3000) a, range(3000) b ORDER BY s")


def test_the_connection_closes_whatever_happens(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: success, a mistake, a failing store. Guarantee: every connection that was opened is closed."""
    opened: list[duckdb.DuckDBPyConnection] = []
    connect = duckdb.connect

    def spy(**options: Any) -> duckdb.DuckDBPyConnection:
        opened.append(connect(**options))
        return opened[-1]

    monkeypatch.setattr(duckdb, "connect", spy)
    query(store, "SELECT 1")
    with pytest.raises(InvalidRequestError):
        query(store, "SELECT")
    with pytest.raises(AttributeError):
        query(object(), "SELECT 1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a broken store
    assert len(opened) == 3
    for connection in opened:
        with pytest.raises(duckdb.ConnectionException):
            connection.execute("SELECT 1")


@pytest.mark.parametrize(
    "statement",
    [
        "FROM spans",
        "TABLE spans",
        "WITH s AS (SELECT * FROM spans) SELECT * FROM s",
        "VALUES (1)",
        "DESCRIBE spans",
        "SHOW TABLES",
        "SUMMARIZE traces",
        "EXPLAIN SELECT 1",
        "explain analyze SELECT 1",
        "SELECT unnest([1, 2])",
        "SELECT * FROM range(3), unnest([1])",
        "SELECT key FROM spans, json_each(resource)",
    ],
)
def test_every_way_to_read_is_allowed(store: MemoryStore, statement: str) -> None:
    """Scenario: DuckDB's ways to ask. Guarantee: each answers."""
    assert query(store, statement).num_rows > 0


def test_views_say_what_they_promise(store: MemoryStore) -> None:
    """Scenario: traces, errors, genai_calls and percentiles. Guarantee: the right rows and figures."""
    first, second = query(store, "SELECT * FROM traces ORDER BY trace_id").to_pylist()
    assert (first["root_service"], first["root_name"], first["duration_ns"]) == ("shop", "POST /order", 100)
    assert (first["spans"], first["errors"], first["services"]) == (2, 1, ["pay", "shop"])
    assert (second["spans"], second["errors"]) == (1, 0)
    assert query(store, "SELECT service_name, error_type FROM errors").to_pylist() == [
        {"service_name": "pay", "error_type": "timeout"}
    ]
    assert query(store, "SELECT request_model, input_tokens, duration_ns FROM genai_calls").to_pylist() == [
        {"request_model": "m", "input_tokens": 5, "duration_ns": 10}
    ]
    assert query(store, "SELECT tenant FROM Percentiles").to_pylist() == [{"tenant": "default"}]


def test_a_tenant_sees_its_own_rows_only(store: MemoryStore) -> None:
    """Scenario: the same statement for three tenants. Guarantee: nobody sees another's spans or percentiles."""
    for tenant, services in (("default", ["pay", "shop"]), ("acme", ["other"]), ("nobody", [])):
        found = query(store, "SELECT DISTINCT service_name AS s FROM spans ORDER BY s", tenant=tenant)
        assert found.column("s").to_pylist() == services
        assert query(store, "SELECT 1 FROM percentiles", tenant=tenant).num_rows == (tenant != "nobody")


@pytest.mark.parametrize(
    ("statement", "params"), [("name = $1", ["chat"]), ("name = ?", ["chat"]), ("name = $wanted", {"wanted": "chat"})]
)
def test_parameters_are_values_never_sql(store: MemoryStore, statement: str, params: Any) -> None:
    """Scenario: placeholders by position and name. Guarantee: they bind; a missing one is an error, not a guess."""
    text = f"SELECT trace_id FROM spans WHERE {statement}"  # noqa: S608 - constants
    assert query(store, text, params=params).num_rows == 1
    with pytest.raises(InvalidRequestError, match="SQL: Invalid Input Error"):
        query(store, text)


@pytest.mark.parametrize(("limit", "rows"), [(None, 200_000), (0, 0), (1, 1), (100_000, 100_000), (300_000, 200_000)])
def test_a_row_limit_cuts_and_keeps_the_schema(store: MemoryStore, limit: int | None, rows: int) -> None:
    """Scenario: limits below, above and between batches. Guarantee: exactly so many rows, columns as without."""
    found = query(store, "SELECT range AS n FROM range(200000)", row_limit=limit)
    assert (found.num_rows, found.schema.names) == (rows, ["n"])
    assert found.column("n").to_pylist() == list(range(rows))


def test_a_result_can_be_read_batch_by_batch(store: MemoryStore) -> None:
    """Scenario: a result larger than one batch. Guarantee: it comes in several, once."""
    with reading(store, "SELECT range AS n FROM range(300000)") as batches:
        sizes = [batch.num_rows for batch in batches]
        assert list(batches) == []
    assert sum(sizes) == 300_000
    assert len(sizes) > 1


@pytest.mark.parametrize("interruptions", [1, 4])
def test_a_failure_is_told_by_its_reason(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch, interruptions: int
) -> None:
    """Scenario: DuckDB tells that threads were stopped, not what stopped them. Guarantee: the failure is told."""
    left = iter(range(interruptions))

    def interrupted(*_: Any) -> pa.Table:
        if next(left, None) is not None:
            raise InvalidRequestError("SQL: INTERRUPT Error: Interrupted!") from duckdb.InterruptException(
                "Interrupted!"
            )
        raise InvalidRequestError("SQL: broken")

    monkeypatch.setattr("spanward.store.sql._read", interrupted)
    with pytest.raises(InvalidRequestError, match="broken"):
        query(store, "SELECT 1")


def test_a_failure_without_a_reason_is_told_too(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: DuckDB never tells more. Guarantee: what it tells, and an end."""

    def interrupted(*_: Any) -> pa.Table:
        raise InvalidRequestError("SQL: INTERRUPT Error: Interrupted!")

    monkeypatch.setattr("spanward.store.sql._read", interrupted)
    with pytest.raises(InvalidRequestError, match="Interrupted"):
        query(store, "SELECT 1")


def test_a_row_that_fails_late_is_told(store: MemoryStore) -> None:
    """Scenario: the last of many rows cannot be computed. Guarantee: an error in one line, no short result."""
    text = "SELECT CASE WHEN range < 299999 THEN 1 ELSE error('broken') END AS one FROM range(300000)"
    with pytest.raises(InvalidRequestError, match="broken"):
        query(store, text)
