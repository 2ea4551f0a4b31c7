"""SQL over the table, hot rows included, by DuckDB in this process.

The statement sees the tables `spans` and `percentiles` and the views `traces`, `errors` and `genai_calls`, each holding
one tenant's rows, and nothing else: no files, no network, no extensions, no settings, no Python variables. Decrypted
rows never go to disk, so that a query which needs more than memory fails rather than spills.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import duckdb
import pyarrow as pa

from spanward.store._scannable import ScannableDataset
from spanward.store._source import TableSource
from spanward.store._sql_guard import check
from spanward.store._sql_views import VIEWS
from spanward.store.errors import InvalidRequestError, PermanentError

_CONFIG: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "temp_directory": "",  # no spilling: what is decrypted stays in memory
}
_SETTINGS: Final = (
    "SET python_enable_replacements = false",
    "SET TimeZone = 'UTC'",
    "SET lock_configuration = true",  # the last: nothing can be set any more
)
_BATCH_ROWS: Final = 65_536
_STOPPED: Final = (
    "INTERRUPT Error"  # one thread failed and stopped the others: now and then DuckDB tells what these say
)
_TRIES_FOR_A_REASON: Final = 5
_INTERRUPT_AGAIN_SECONDS: Final = 0.05  # one that comes between two steps of DuckDB is forgotten


def query(
    store: TableSource,
    sql: str,
    *,
    tenant: str = "default",
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    row_limit: int | None = None,
    timeout_seconds: float | None = None,
) -> pa.Table:
    """Run one reading statement on a snapshot. Blocks: call it off the event loop.

    Args:
        store: where the tables are.
        sql: SELECT, WITH, FROM, VALUES, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN, in DuckDB's dialect.
        tenant: whose rows the statement sees.
        params: values for `$1`, `$2`, ... or, as a mapping, for `$name`.
        row_limit: rows beyond are left off; None for all.
        timeout_seconds: the statement is interrupted after; None for never.

    Raises:
        InvalidRequestError: the statement is wrong, or does more than read; DuckDB's own line says where.
        PermanentError: it took longer than `timeout_seconds`, or more memory than there is.
    """
    tries = _TRIES_FOR_A_REASON
    while True:
        tries -= 1
        try:
            with reading(store, sql, tenant=tenant, params=params, timeout_seconds=timeout_seconds) as batches:
                return _read(batches, row_limit)
        except InvalidRequestError as error:
            if not tries or _STOPPED not in str(error):
                raise


@contextmanager
def reading(
    store: TableSource,
    sql: str,
    *,
    tenant: str = "default",
    params: Sequence[Any] | Mapping[str, Any] | None = None,
    timeout_seconds: float | None = None,
) -> Generator[Batches, None, None]:
    """The same for results that are larger than memory: batches, to be read within the block.

    The time limit covers the block.
    """
    connection = duckdb.connect(config=_CONFIG)
    try:
        _prepare(connection, store, sql, tenant)
        check(connection, sql)
        with _deadline(connection, timeout_seconds) as expired:
            yield Batches(connection, sql, params, expired)
    finally:
        connection.close()


class Batches:
    """The result of a statement, a batch at a time; DuckDB's and Arrow's errors come translated.

    Attributes:
        schema: its columns.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, sql: str, params: Any, expired: threading.Event) -> None:
        self._expired = expired
        with self._translated():
            self._reader: pa.RecordBatchReader = connection.execute(sql, params).to_arrow_reader(_BATCH_ROWS)
        self.schema: pa.Schema = self._reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches, once."""
        while True:
            with self._translated():
                batch = next(self._reader, None)
            if batch is None:
                return
            yield batch

    @contextmanager
    def _translated(self) -> Generator[None, None, None]:
        try:
            yield
        except duckdb.OutOfMemoryException as error:
            raise PermanentError(f"SQL needs more memory than there is; read less at once: {_line(error)}") from error
        except (duckdb.Error, pa.ArrowException, OSError) as error:
            if self._expired.is_set():
                raise PermanentError(
                    "SQL took longer than its limit; narrow it by start_time, or allow more"
                ) from error
            raise InvalidRequestError(f"SQL: {_line(error)}") from error


def _prepare(connection: duckdb.DuckDBPyConnection, store: TableSource, sql: str, tenant: str) -> None:
    """Make the tables and views, then lock the door."""
    connection.register("spans", ScannableDataset(store.snapshot(tenant).dataset()))
    if "percentiles" in sql.lower():  # read whole, so only when it is asked for
        connection.register("percentiles", store.read_table("percentiles", tenant=tenant))
    for name, select in VIEWS.items():
        connection.execute(f"CREATE TEMP VIEW {name} AS {select}")
    for setting in _SETTINGS:
        connection.execute(setting)


def _read(source: Batches, row_limit: int | None) -> pa.Table:
    batches: list[pa.RecordBatch] = []
    rows = 0
    for batch in source:
        kept = batch if row_limit is None else batch.slice(0, row_limit - rows)
        batches.append(kept)
        rows += kept.num_rows
        if row_limit is not None and rows >= row_limit:
            break
    return pa.Table.from_batches(batches, schema=source.schema)


@contextmanager
def _deadline(connection: duckdb.DuckDBPyConnection, seconds: float | None) -> Generator[threading.Event, None, None]:
    """Interrupt the connection once the time is over; the event yielded says whether it was."""
    expired, done = threading.Event(), threading.Event()
    if seconds is None:
        yield expired
        return

    def watch() -> None:
        if done.wait(seconds):
            return
        expired.set()
        connection.interrupt()
        while not done.wait(_INTERRUPT_AGAIN_SECONDS):
            connection.interrupt()

    watcher = threading.Thread(target=watch, name="spanward-sql-deadline", daemon=True)
    watcher.start()
    try:
        yield expired
    finally:
        done.set()
        watcher.join()


def _line(error: Exception) -> str:
    """What DuckDB says, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    return next((line for line in lines if line), type(error).__name__)
