"""Commands that read: `query`, `percentiles`, `trace`, `status`, `export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from spanward.sidecar.cli._app import DEFAULT_DATA, AsJson, Data, Tenant, app, command
from spanward.sidecar.console.output import console, errors, open_store, print_json, print_rows
from spanward.sidecar.console.views import fetch_json, percentile_lines, percentile_rows, retention_rows
from spanward.sidecar.console.waterfall import arrange, render
from spanward.store.errors import InvalidRequestError, PermanentError
from spanward.store.export import export as export_spans
from spanward.store.query import TraceReader
from spanward.store.span_store import SpanStore
from spanward.store.sql import query as run_sql

Limit = Annotated[int, typer.Option("--limit", min=1, help="At most this many rows.")]


@command(app)
def query(
    sql: Annotated[str, typer.Argument(help="One SELECT over spans, percentiles, traces, errors, genai_calls.")],
    *,
    data: Data = DEFAULT_DATA,
    tenant: Tenant = "default",
    limit: Limit = 10_000,
    timeout: Annotated[float, typer.Option("--timeout", min=0.1, help="Give up after so many seconds.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Ask the tables in SQL (DuckDB), all columns decrypted, spans that are not in the lake yet included."""
    with open_store(data) as store:
        table = run_sql(store, sql, tenant=tenant, row_limit=limit, timeout_seconds=timeout)
    if as_json:
        print_json(table.to_pylist())
    else:
        print_rows("", table.to_pylist(), columns=table.column_names)


@command(app)
def percentiles(
    *,
    service: Annotated[str | None, typer.Option("--service", help="Only this service.")] = None,
    operation: Annotated[str | None, typer.Option("--operation", help="Only this operation.")] = None,
    data: Data = DEFAULT_DATA,
    tenant: Tenant = "default",
    as_json: AsJson = False,
) -> None:
    """Show count, errors and p50/p90/p95/p99 of each operation."""
    with open_store(data) as store:
        rows = percentile_rows(store, tenant=tenant, service=service, operation=operation)
    if as_json:
        print_json(rows)
    else:
        print_rows("latency by operation", percentile_lines(rows))


@command(app)
def trace(
    trace_id: Annotated[str, typer.Argument(help="32 hex digits.")],
    *,
    data: Data = DEFAULT_DATA,
    tenant: Tenant = "default",
    limit: Limit = 60,
    as_json: AsJson = False,
) -> None:
    """Show one trace as a waterfall."""
    wanted = _trace_id(trace_id)
    with open_store(data) as store:
        found = next(iter(TraceReader(store).traces(tenant, [wanted])), None)
    if found is None:
        raise PermanentError(f"there is no trace {wanted} for tenant {tenant!r} in {data}; it may have expired")
    if as_json:
        print_json([{"depth": row.depth, **row.span} for row in arrange(found)])
    else:
        console.print(render(wanted, found, limit=limit, width=console.width))


@command(app)
def status(
    *,
    data: Data = DEFAULT_DATA,
    health: Annotated[
        str, typer.Option("--health", help="host:port of the sidecar's health endpoint.")
    ] = "127.0.0.1:13133",
    as_json: AsJson = False,
) -> None:
    """Show what the data folder holds and whether a sidecar answers."""
    with open_store(data) as store:
        document = store_status(store)
    answer = fetch_json(f"http://{health}/status")
    document["sidecar"] = {"endpoint": health, "running": answer is not None, "status": answer[1] if answer else None}
    if as_json:
        print_json(document)
        return
    print_rows("", [{"what": key, "value": value} for key, value in document.items() if key != "sidecar"])
    state = "answers" if answer else "does not answer"
    console.print(f"sidecar at {health}: {state}", highlight=False)


@command(app)
def export(
    path: Annotated[Path, typer.Argument(help="The file to write.")],
    *,
    form: Annotated[str, typer.Option("--format", help="jsonl.zst or parquet.")] = "jsonl.zst",
    where: Annotated[str | None, typer.Option("--where", help="An SQL condition on spans.")] = None,
    data: Data = DEFAULT_DATA,
    tenant: Tenant = "default",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write spans into one plain file (decrypted: it leaves the lake's protection and its retention)."""
    if path.exists() and not force:
        raise PermanentError(f"{path} exists; overwrite it with --force, or choose another name")
    with open_store(data) as store, Progress(console=errors, transient=True) as progress:
        task = progress.add_task("exporting", total=None)
        rows = export_spans(
            store, path, format=form, tenant=tenant, where=where, force=force,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )  # fmt: skip
    if as_json:
        print_json({"path": str(path), "format": form, "rows": rows})
    else:
        console.print(f"{rows:,} spans in {path}", highlight=False)


def store_status(store: SpanStore) -> dict[str, Any]:
    """Figures of a data folder."""
    partitions = retention_rows(store)
    return {
        "data": str(store.data),
        "lake": str(store.data / "lake" / "spans"),
        "version": store.snapshot(None).version,
        "spans_in_lake": sum(part["rows"] for part in partitions),
        "spans_not_yet_in_lake": store.hot_rows(),
        "files": sum(part["files"] for part in partitions),
        "bytes": sum(part["bytes"] for part in partitions),
        "partitions": len(partitions),
    }


def _trace_id(text: str) -> str:
    wanted = text.strip().lower()
    if len(wanted) != 32 or not set(wanted) <= set("0123456789abcdef"):  # noqa: PLR2004 - 16 bytes in hex
        raise InvalidRequestError(f"a trace id is 32 hex digits, not {text!r}")
    return wanted
