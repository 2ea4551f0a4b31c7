"""The command line: one module a group of commands, all on one typer application."""

from __future__ import annotations

from spanward.sidecar.cli import audit, demo, doctor, read, retention, run
from spanward.sidecar.cli._app import app

__all__ = ["app", "audit", "demo", "doctor", "read", "retention", "run"]
