"""Questions that several commands ask of a store, answered as plain rows."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, Final

from spanward.connector.percentiles.reader import percentiles
from spanward.sidecar.console.output import milliseconds
from spanward.store.span_store import SpanStore

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)


def retention_rows(store: SpanStore) -> list[dict[str, Any]]:
    """The retention plan, a row a partition."""
    return [
        {
            "date": str(part.date),
            "retention": part.retention,
            "classification": part.classification,
            "expires_on": str(part.expires_on) if part.expires_on else None,
            "state": str(part.state),
            "rows": part.rows,
            "files": part.files,
            "bytes": part.bytes,
        }
        for part in store.retention().plan()
    ]


def retention_report(store: SpanStore, *, dry_run: bool) -> dict[str, Any]:
    """Enforce retention (or say what that would do), as a document."""
    return store.retention().run(dry_run=dry_run).as_dict()


def percentile_rows(
    store: SpanStore,
    *,
    tenant: str,
    service: str | None = None,
    operation: str | None = None,
) -> list[dict[str, Any]]:
    """Latency per operation, the busiest first; durations in milliseconds."""
    table = percentiles(
        store, tenant=tenant, service=service, operation=operation, quantiles=QUANTILES, by=("service_name", "name")
    )
    rows = [
        {
            "service": row["service_name"],
            "operation": row["name"],
            "count": row["count"],
            "errors": row["error_count"],
            **{f"p{quantile * 100:g}_ms": milliseconds(row[f"p{quantile * 100:g}_ns"]) for quantile in QUANTILES},
            "max_ms": milliseconds(row["max_ns"]),
        }
        for row in table.to_pylist()
    ]
    return sorted(rows, key=lambda row: (-row["count"], row["service"], row["operation"]))


def percentile_lines(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those rows for people: service and operation share a column, which a narrow terminal has room for."""
    return [
        {"service: operation": f"{row['service'] or '?'}: {row['operation']}"}
        | {name: value for name, value in row.items() if name not in {"service", "operation"}}
        for row in rows
    ]


def fetch_json(url: str, *, timeout: float = 2.0) -> tuple[int, Any] | None:
    """GET a JSON document from this machine; None when nobody answers.

    Returns:
        HTTP status and document.
    """
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:  # noqa: S310 - the caller writes http:// itself
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _json_or_none(error.read())
    except (OSError, ValueError):
        return None


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
