"""One run: start a server, load it, let it drain, hold what came out against what went in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from bench.load import Load
from bench.server import Server, ServerError
from bench.workload import Workload


@dataclass(frozen=True, slots=True)
class Run:
    """One run's figures.

    Attributes:
        server: what was measured.
        spans: accepted, and found afterwards.
        spans_per_cpu_second: by the server's user and system time until drained; its start is not in it.
        spans_per_second: accepted, by the clients' clock.
        drain_seconds: from the last answer until the server was done.
        bytes_per_span: of what is stored.
        load_cpu_seconds: what the load generator took.
    """

    server: str
    spans: int
    spans_per_cpu_second: float
    spans_per_second: float
    cpu_seconds: float
    drain_seconds: float
    peak_rss_mib: float
    bytes_per_span: float
    p50_ms: float
    p99_ms: float
    refusals: int
    load_cpu_seconds: float


def measure(name: str, prepared: Server, workload: Workload, load: Load) -> Run:
    """Start, load, drain, check.

    Raises:
        ServerError: the server failed, or what came out is not what went in.
        ToolError: the load generator is not there.
    """
    with prepared as server:
        before = server.cpu_seconds()
        result = load.run(server.target)
        if result.calls_failed:
            raise server.error(f"{result.calls_failed} of {result.calls} calls failed: {result.last_error}")
        if result.rejected_spans or not result.accepted_spans:
            raise ServerError(
                f"{result.accepted_spans} spans accepted, {result.rejected_spans} rejected: the workload is to be valid"
            )
        drained = server.drain(result.accepted_spans)
        cpu, rss, size = server.cpu_seconds() - before, server.peak_rss_bytes(), server.bytes_on_disk()
        server.check(result.accepted_spans, workload.personal(result.calls))
    return Run(
        server=name,
        spans=result.accepted_spans,
        spans_per_cpu_second=result.accepted_spans / cpu,
        spans_per_second=result.spans_per_s,
        cpu_seconds=cpu,
        drain_seconds=drained,
        peak_rss_mib=rss / 2**20,
        bytes_per_span=size / result.accepted_spans,
        p50_ms=result.p50_ms,
        p99_ms=result.p99_ms,
        refusals=result.refusals,
        load_cpu_seconds=result.cpu_s,
    )


def summary(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Median, minimum and maximum of each figure of one server's runs."""
    columns = {name: [asdict(run)[name] for run in runs] for name in asdict(runs[0]) if name != "server"}
    return {
        name: {"median": statistics.median(values), "min": min(values), "max": max(values)}
        for name, values in columns.items()
    }


def ratio(runs: Sequence[Run], server: str, to: str) -> float:
    """How many times the spans per CPU-second of one server are those of another: the median over paired rounds."""
    ours, theirs = ([run.spans_per_cpu_second for run in runs if run.server == name] for name in (server, to))
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
