"""What the demo shows, each part with its verification."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from spanward.connector.percentiles.reader import percentiles
from spanward.extension.jaeger import storage_pb2 as storage
from spanward.extension.jaeger.storage_pb2_grpc import TraceReaderStub
from spanward.sidecar.console.output import open_store, print_rows
from spanward.sidecar.console.views import percentile_lines, percentile_rows, retention_report, retention_rows
from spanward.sidecar.console.waterfall import render
from spanward.sidecar.demo import hotrod, leak
from spanward.sidecar.demo.processes import spanward_command
from spanward.sidecar.demo.state import Run
from spanward.store.otlp import to_traces_data
from spanward.store.query import TraceReader
from spanward.store.sql import query

EXPECTED: Final = {"spans": 1582, "traces": 42, "services": 6, "events": 2022, "errors": 100}
_HOTROD_SERVICES: Final = ("customer", "driver", "frontend", "mysql", "redis-manual", "route")
_TOLERANCE: Final = 0.01


def accepted_spans(run: Run) -> int:
    """Spans that the receiver says it accepted."""
    return _counter(run, "otelcol_receiver_accepted_spans")


def stored_spans(run: Run) -> tuple[int, int]:
    """Spans in the lake, and spans that are durable but not in it yet."""
    with open_store(run.data) as store:
        in_lake = sum(part["rows"] for part in retention_rows(store))
        return in_lake, store.hot_rows()


def counts(run: Run) -> None:
    """Accepted, stored, refused."""
    accepted, refused = accepted_spans(run), _counter(run, "otelcol_receiver_refused_spans")
    stored, _ = stored_spans(run)
    print_rows("spans", [{"accepted": accepted, "stored": stored, "refused": refused}], out=run.console)
    run.check(
        "every accepted span is stored, none was refused", accepted == stored and not refused, f"{stored} of {accepted}"
    )


def round_trip(run: Run) -> None:
    """The recording, as sent against as read back through Jaeger's API and through SQL."""
    sent = [ExportTraceServiceRequest.FromString(body) for body in run.recorded]
    run.check("the recording is what it should be", hotrod.census(sent).figures() == EXPECTED, str(EXPECTED))
    with open_store(run.data) as store:
        rows = query(
            store, "select * from spans where list_contains($1, service_name)", params=[list(_HOTROD_SERVICES)]
        )
    trace_ids = sorted({span.trace_id for message in sent for span in _spans(message)})
    table = Table(title="the recorded HotROD traffic, read back", title_justify="left", header_style="bold")
    for column in ("through", *EXPECTED, "equal spans", "values changed by the policy"):
        table.add_column(column)
    for door, received in (("Jaeger's API", _through_jaeger(run, trace_ids)), ("SQL", [to_traces_data(rows)])):
        figures, comparison = hotrod.census(received).figures(), hotrod.compare(sent, received)
        changed = ", ".join(f"{name}: {count}" for name, count in sorted(comparison.changed.items())) or "none"
        table.add_row(door, *(str(figures[name]) for name in EXPECTED), str(comparison.equal), changed)
        seen = (
            f"{figures['spans']} spans"
            if comparison.complete
            else "; ".join(comparison.differences[:2]) or str(comparison)
        )
        holds = figures == EXPECTED and comparison.complete
        run.check(f"the recording comes back complete through {door}", holds, seen)
    run.console.print(table)


def personal_data(run: Run) -> None:
    """Personal data by type, and the proof that no raw value was stored."""
    with open_store(run.data) as store:
        found = query(
            store,
            "select type, count(*) as spans from (select unnest(pii) as type from spans) group by 1 order by 2 desc, 1",
        )
        report = leak.search(store, run.personal)
    print_rows("personal data found", found.to_pylist(), out=run.console)
    run.console.print(
        f"{report.values} raw values looked for in {report.files} files ({report.bytes:,} bytes) and in the decrypted "
        f"content of {report.rows:,} rows and log records: {len(report.found)} places found",
        highlight=False,
    )
    types = {row["type"] for row in found.to_pylist()}
    run.check("personal data was found", {"email", "phone", "card"} <= types, ", ".join(sorted(types)))
    seen = "; ".join(report.found[:3]) or f"none of {report.values} values in {report.files} files"
    run.check("no raw value was stored anywhere", report.values > 0 and not report.found, seen)


def latencies(run: Run) -> None:
    """Percentiles from the sketches, held against exact ones."""
    with open_store(run.data) as store:
        rows = percentile_rows(store, tenant="default")
        sketched = percentiles(store, tenant="default", quantiles=_CHECKED, by=("service_name", "name")).to_pylist()
        exact = query(store, _EXACT).to_pylist()
    print_rows("latency by operation (sketches)", percentile_lines(rows[:_ROWS]), out=run.console)
    if len(rows) > _ROWS:
        run.console.print(f"{len(rows) - _ROWS} more: spanward percentiles --data {run.data}", highlight=False)
    truth = {(row["service_name"], row["name"]): row for row in exact}
    pairs = [(row, truth[row["service_name"], row["name"]]) for row in sketched]
    complete = len(sketched) == len(exact) and all(row["count"] == true["count"] for row, true in pairs)
    run.check("every operation has percentiles over all its spans", complete, f"{len(rows)} operations")
    worst = max((abs(row[name] - true[name]) / true[name] for row, true in pairs for name in _NAMES), default=1.0)
    run.check("p50 to p99.9 from sketches are within 1 % of exact", worst <= _TOLERANCE, f"worst error {worst:.2%}")


_CHECKED: Final = (0.5, 0.9, 0.95, 0.99, 0.999)
_NAMES: Final = tuple(f"p{quantile * 100:g}_ns" for quantile in _CHECKED)
_ROWS: Final = 12  # what fits a screen
_COLUMNS: Final = ", ".join(
    f"quantile_disc(duration_ns, {quantile}) as {name!r}" for quantile, name in zip(_CHECKED, _NAMES, strict=True)
).replace("'", '"')
_EXACT: Final = (
    f"select coalesce(service_name, '') as service_name, name, count(*) as count, {_COLUMNS} from spans group by 1, 2"  # noqa: S608 - ours
)


def retention(run: Run) -> None:
    """What is kept until when."""
    with open_store(run.data) as store:
        plan = retention_rows(store)
        dry = retention_report(store, dry_run=True)
    print_rows("retention plan", plan, out=run.console)
    planned = bool(plan) and all(part["expires_on"] or part["retention"] == "permanent" for part in plan)
    run.check("every partition has an expiry or is permanent", planned, f"{len(plan)} partitions")
    run.check("nothing that is stored today has expired", not dry["partitions"], "dry run removes nothing")


def waterfall(run: Run) -> None:
    """The slowest trace."""
    with open_store(run.data) as store:
        slowest = query(store, "select trace_id from traces order by duration_ns desc, trace_id limit 1").to_pylist()
        trace_id = slowest[0]["trace_id"] if slowest else ""
        found = next(iter(TraceReader(store).traces("default", [trace_id])), None)
    run.check("the slowest trace can be shown", found is not None, trace_id)
    if found is not None:
        run.console.print(render(trace_id, found, limit=24, width=run.console.width))


def access(run: Run) -> None:
    """Where the table lies, and every way to it, tried."""
    lake = run.data / "lake" / "spans"
    # no single quote in them: they are printed to be pasted into a shell
    lines = {
        "DuckDB": f'import duckdb, deltalake; files = deltalake.DeltaTable("{lake}").file_uris(); print(duckdb.sql('  # noqa: S608 - to read, not to run
        'f"select service_name, count(*) from read_parquet({files}) group by 1"))',
        "Polars": f'import polars as pl; print(pl.scan_delta("{lake}").group_by("service_name").len().collect())',
    }
    run.console.print(f"\nthe table lies in {lake}; its clear columns open in any engine:", highlight=False)
    for engine, line in lines.items():
        outcome = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=False)  # noqa: S603 - ours
        run.console.print(f"  {engine}: python -c '{line}'", highlight=False, markup=False, soft_wrap=True)
        run.check(
            f"{engine} reads the clear columns without a key",
            "frontend" in outcome.stdout,
            f"exit code {outcome.returncode}",
        )
    sql = "select name, url_full, attributes_str, events from spans where url_full is not null limit 1"
    command = spanward_command("query", sql, "--data", str(run.data), "--json")
    outcome = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    run.console.print(
        f'all columns, decrypted: spanward query --data {run.data} "{sql}"',
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    run.check("spanward query reads the payload", "http" in outcome.stdout, f"exit code {outcome.returncode}")
    _jaeger(run)


def _jaeger(run: Run) -> None:
    with grpc.insecure_channel(run.endpoints.jaeger) as channel:
        services = TraceReaderStub(channel).GetServices(storage.GetServicesRequest(), timeout=10).services
    run.console.print(
        f"Jaeger reads from {run.endpoints.jaeger}: jaeger --config examples/jaeger/config.yaml, "
        f"then open its port 16686; it will show {', '.join(services)}",
        highlight=False,
    )
    run.check(
        "Jaeger's storage API knows every service",
        {"checkout", *_HOTROD_SERVICES} <= set(services),
        ", ".join(services),
    )


def verdict(run: Run, *, pid: int | None) -> None:
    """Print every claim with what was seen."""
    table = Table(title="verified", title_justify="left", header_style="bold")
    for column in ("claim", "holds", "seen"):
        table.add_column(column, overflow="fold")
    for claim, holds, seen in run.checks:
        table.add_row(claim, "[green]yes[/]" if holds else "[red]NO[/]", seen.replace("[", r"\["))
    run.console.print(table)
    if pid is not None:
        run.console.print(
            f"the sidecar goes on: OTLP {run.endpoints.grpc} and {run.endpoints.http}, data in {run.data}; "
            f"end it: kill {pid}",
            highlight=False,
        )
    else:
        run.console.print("the sidecar has ended; to look around yourself: make demo KEEP=1", highlight=False)
    failed = sum(not holds for _, holds, _ in run.checks)
    run.console.print("[green]all verified[/]" if run.verified else f"[red]{failed} claims do not hold[/]")


def _through_jaeger(run: Run, trace_ids: Iterable[bytes]) -> list[TracesData]:
    request = storage.GetTracesRequest(query=[storage.GetTraceParams(trace_id=trace_id) for trace_id in trace_ids])
    with grpc.insecure_channel(run.endpoints.jaeger) as channel:
        return list(TraceReaderStub(channel).GetTraces(request, timeout=60))


def _spans(message: ExportTraceServiceRequest) -> Iterator[Any]:
    for resource_spans in message.resource_spans:
        for scope_spans in resource_spans.scope_spans:
            yield from scope_spans.spans


def _counter(run: Run, name: str) -> int:
    with urllib.request.urlopen(f"http://{run.endpoints.metrics}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    totals = Counter[str]()
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            totals[sample.name.removesuffix("_total")] += (
                int(sample.value) if sample.name.removesuffix("_total") == name else 0
            )
    return totals[name]
