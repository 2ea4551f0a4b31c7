"""`spanward retention plan|run`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer

from spanward.sidecar.cli._app import DEFAULT_DATA, AsJson, Data, app, command
from spanward.sidecar.console.output import console, open_store, print_json, print_rows
from spanward.sidecar.console.views import retention_report, retention_rows

group = typer.Typer(help="What is kept until when, and the removal of what has expired.", no_args_is_help=True)
app.add_typer(group, name="retention")
_COLUMNS: Final = ["table", "date", "retention", "classification", "rows", "files", "bytes"]


@command(group)
def plan(*, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show every partition of the lake with its expiry."""
    with open_store(data) as store:
        rows = retention_rows(store)
    if as_json:
        print_json(rows)
    else:
        print_rows("retention plan", rows)


@command(group)
def run(
    *,
    data: Data = DEFAULT_DATA,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove expired rows and their files now; the sidecar does the same on its schedule."""
    with open_store(data, maintenance=not dry_run) as store:
        report = retention_report(store, dry_run=dry_run)
    if as_json:
        print_json(report)
    else:
        _print(report)


def _print(report: dict[str, Any]) -> None:
    print_rows("expired", report["partitions"], columns=_COLUMNS)
    figures = f"{report['rows']:,} rows in {report['files']:,} files, {report['bytes']:,} bytes"
    if report["dry_run"]:
        console.print(f"would be removed: {figures}; nothing was changed", highlight=False)
        return
    console.print(f"removed from the tables: {figures}; {report['hot_rows']:,} rows from memory", highlight=False)
    console.print(
        f"unlinked: {report['files_removed']:,} files, {report['bytes_removed']:,} bytes; "
        f"{report['files_waiting']:,} wait for their readers; {len(report['keys_destroyed']):,} keys destroyed",
        highlight=False,
    )
