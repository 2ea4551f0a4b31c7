"""`spanward audit show|verify`."""

from __future__ import annotations

import datetime as dt

import typer

from spanward.sidecar.cli._app import DEFAULT_DATA, AsJson, Data, app, command
from spanward.sidecar.console.output import console, open_store, print_json, print_rows

group = typer.Typer(
    help="What was deleted and registered, when, and the proof that nobody changed it.", no_args_is_help=True
)
app.add_typer(group, name="audit")


@command(group)
def show(*, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Show the audit trail, oldest first."""
    with open_store(data) as store:
        rows = [
            {
                "id": entry.id,
                "at": dt.datetime.fromtimestamp(entry.at_ns / 1e9, tz=dt.UTC).isoformat(timespec="seconds"),
                "actor": entry.actor,
                "action": entry.action,
                "details": entry.details,
            }
            for entry in store.compliance.audit()
        ]
    if as_json:
        print_json(rows)
    else:
        print_rows("audit trail", rows)


@command(group)
def verify(*, data: Data = DEFAULT_DATA, as_json: AsJson = False) -> None:
    """Check the seal of every entry; exit code 1 names the first one that was changed, removed or put in."""
    with open_store(data) as store:
        entries = store.compliance.verify_audit()
    if as_json:
        print_json({"verified": True, "entries": entries})
    else:
        console.print(f"{entries} entries, all seals hold", highlight=False)
