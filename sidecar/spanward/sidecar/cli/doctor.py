"""`spanward doctor`: what is missing here, and how to mend it."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.table import Table

from spanward.sidecar.cli._app import DEFAULT_DATA, AsJson, Data, app, command
from spanward.sidecar.config import ResolvedConfig, load
from spanward.sidecar.console.output import console, print_json
from spanward.sidecar.console.views import fetch_json
from spanward.sidecar.endpoint import split_endpoint
from spanward.store.errors import ConfigurationError, SpanwardError
from spanward.store.layout import INTAKE
from spanward.store.span_store import SpanStore

_LOW_DISK_BYTES: Final = 1 << 30
_EXTRAS: Final = {
    "lake": ("pyarrow", "deltalake", "duckdb", "cryptography", "zstandard"),
    "sidecar": ("grpc", "aiohttp", "prometheus_client", "typer", "rich"),
}
_OPTIONAL: Final = {
    "polars": "not needed; pip install polars to read the tables with it",
    "spanward.native": "not needed; the compiled kernel does the same for a fraction of the CPU: pip install ./native",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what.
        state: `ok`, `note` or `broken`.
        detail: what was seen.
        remedy: what to do, "" when nothing is.
    """

    subject: str
    state: str
    detail: str
    remedy: str = ""


@command(app)
def doctor(
    *,
    config: Annotated[Path | None, typer.Option("--config", help="The configuration to check.")] = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Check this machine, the configuration and the data folder; exit code 1 when something is broken."""
    findings = list(examine(config, data))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


def examine(config: Path | None, data: Path) -> Iterator[Finding]:
    """Look at everything; never raises for what it finds."""
    yield _python()
    yield from _packages()
    resolved, finding = _configuration(config)
    yield finding
    if resolved is not None:
        yield from _ports(resolved)
    yield _folder(data)
    yield _disk(data)
    if data.is_dir():
        yield _store(data)
        yield from _set_aside(data)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", "ok", found)


def _packages() -> Iterator[Finding]:
    for extra, modules in _EXTRAS.items():
        missing = [module for module in modules if importlib.util.find_spec(module) is None]
        if missing:
            yield Finding(
                f"extra {extra}", "broken", f"missing: {', '.join(missing)}", f"pip install 'spanward[{extra}]'"
            )
        else:
            yield Finding(f"extra {extra}", "ok", "installed")
    for module, consequence in _OPTIONAL.items():
        if importlib.util.find_spec(module) is None:
            yield Finding(module, "note", "not installed", consequence)
        else:
            yield Finding(module, "ok", "installed")


def _configuration(path: Path | None) -> tuple[ResolvedConfig | None, Finding]:
    try:
        return load(path), Finding("configuration", "ok", str(path or "the built-in default"))
    except SpanwardError as error:
        return None, Finding("configuration", "broken", str(error), "mend the file; --print-config shows what exists")


def _ports(config: ResolvedConfig) -> Iterator[Finding]:
    endpoints = list(_endpoints(config))
    answering = [endpoint for name, endpoint in endpoints if "health" in name and _answers(endpoint)]
    for name, endpoint in endpoints:
        try:
            reason = _cannot_listen(*split_endpoint(endpoint, name))
        except ConfigurationError as error:
            yield Finding(name, "broken", str(error), "write it as 127.0.0.1:4317")
            continue
        if not reason:
            yield Finding(name, "ok", f"{endpoint} is free")
        elif answering:
            yield Finding(name, "ok", f"{endpoint} is in use, and a sidecar answers on {answering[0]}")
        else:
            yield Finding(name, "broken", f"{endpoint}: {reason}", "free the port, or set another endpoint")


def _answers(endpoint: str) -> bool:
    return fetch_json(f"http://{endpoint}/status") is not None


def _endpoints(config: ResolvedConfig) -> Iterator[tuple[str, str]]:
    for (kind, name), spec in config.components.items():
        for path, value in _walk(spec.config.model_dump(mode="json")):
            # an exporter's endpoint is somewhere to send to, not to listen on
            if path[-1] == "endpoint" and isinstance(value, str) and kind != "exporter":
                yield ".".join((f"{kind}s", name, *path)), value
    metrics = config.settings.service.telemetry.metrics.endpoint
    if metrics:
        yield "service.telemetry.metrics.endpoint", metrics


def _walk(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _walk(value, (*path, str(key)))
    elif path:
        yield path, node


def _cannot_listen(host: str, port: int) -> str:
    """Why nobody can listen there now; "" when one can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _existing(path: Path) -> Path:
    path = path.expanduser().resolve()
    while not path.exists():
        path = path.parent
    return path


def _folder(data: Path) -> Finding:
    place = _existing(data)
    if not os.access(place, os.W_OK | os.X_OK):
        return Finding("data folder", "broken", f"{place} cannot be written", "chmod it, or name another with --data")
    return Finding("data folder", "ok", f"{data} {'exists' if data.is_dir() else 'can be made'}")


def _disk(data: Path) -> Finding:
    free = shutil.disk_usage(_existing(data)).free
    state = "ok" if free >= _LOW_DISK_BYTES else "note"
    return Finding(
        "disk", state, f"{free / 2**30:,.1f} GiB free", "" if state == "ok" else "make room: a full disk refuses spans"
    )


def _store(data: Path) -> Finding:
    try:
        store = SpanStore.open(data, read_only=True)
    except SpanwardError as error:
        return Finding("store", "broken", str(error), "see the message")
    try:
        return Finding("store", "ok", f"version {store.snapshot(None).version}, keys readable by the owner only")
    finally:
        store.close()


def _set_aside(data: Path) -> Iterator[Finding]:
    for path in sorted((data / INTAKE).glob("*/*.damaged")):
        remedy = "examine and remove it: what is in it outlives its retention (docs/log-format.md)"
        yield Finding("intake log", "note", f"{path} was set aside because of damage", remedy)


def _print(findings: list[Finding]) -> None:
    table = Table(header_style="bold")
    for column in ("subject", "state", "seen", "what to do"):
        table.add_column(column, overflow="fold")
    colours = {"ok": "green", "note": "yellow", "broken": "red"}
    for finding in findings:
        state = f"[{colours[finding.state]}]{finding.state}[/]"
        table.add_row(finding.subject, state, finding.detail.replace("[", r"\["), finding.remedy.replace("[", r"\["))
    console.print(table)
