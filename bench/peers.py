"""The sidecar beside its peers: spans per CPU-second of the whole job, measured in turns.

    python bench/peers.py [--spans-per-request 512] [--connections 1] [--classification internal] [--rounds 3]
    python bench/peers.py --markdown

Every round runs each server once, in an empty folder, under the same requests from the same load generator; ratios are
medians over the rounds, for machines are noisy and only neighbours can be compared. The figure is accepted spans by the
server's user and system time until it has done with them. A run counts only if what came out is what went in: the
spans, and those that are marked as holding personal data. The report is kept in bench/results/peers.json, one entry for
each kind of load. Needs Go, to build the Collector and the load generator once.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside it; the package `bench` is one up

from bench.chart import bars  # noqa: E402 - the line above makes it importable
from bench.collector import Collector, DurableCollector, WholeCollector  # noqa: E402
from bench.load import Load, ToolError, record  # noqa: E402
from bench.machine import describe  # noqa: E402
from bench.measure import Run, measure, ratio, summary  # noqa: E402
from bench.server import Server, ServerError  # noqa: E402
from bench.sidecar import Sidecar  # noqa: E402
from bench.workload import Workload, generate  # noqa: E402

RESULTS: Final = ROOT / "bench" / "results"
OURS: Final = "spanward"
SERVERS: Final[dict[str, Callable[[Path, str], Server]]] = {
    OURS: lambda folder, classification: Sidecar(folder, engine="kernel", classification=classification),
    "collector durable": lambda folder, _: DurableCollector(folder),
    "collector whole": lambda folder, _: WholeCollector(folder),
    "collector nop": lambda folder, _: Collector(folder, "nop"),
}
"""What is compared; bench/collector/ says what each Collector does."""

_SPANS: Final = 51_200
_IN_FLIGHT: Final = 8
_DIGITS: Final = {
    "spans_per_cpu_second": 0,
    "spans_per_second": 0,
    "p50_ms": 1,
    "p99_ms": 1,
    "peak_rss_mib": 0,
    "bytes_per_span": 1,
    "drain_seconds": 1,
    "load_cpu_seconds": 2,
}
"""Figures that are shown, and their decimals."""


def compare(workload: Workload, options: argparse.Namespace, tell: Callable[[str], None]) -> list[Run]:
    """All rounds; each begins with another server, so that none always follows the same one.

    Raises:
        ServerError: a run does not count.
        ToolError: Go is missing, or a build failed.
    """
    runs: list[Run] = []
    with tempfile.TemporaryDirectory(prefix="spanward-peers-") as name:
        load = Load(
            record(workload.requests, Path(name) / "requests.bin"),
            seconds=options.seconds,
            in_flight=options.in_flight,
            connections=options.connections,
        )
        for number in range(options.rounds):
            first = number % len(options.servers)
            for server in [*options.servers[first:], *options.servers[:first]]:
                tell(f"round {number + 1} of {options.rounds}: {server}")
                with tempfile.TemporaryDirectory(dir=name) as folder:
                    prepared = SERVERS[server](Path(folder), options.classification)
                    runs.append(measure(server, prepared, workload, load))
    return runs


def report(runs: Sequence[Run], workload: Workload, options: argparse.Namespace) -> dict[str, Any]:
    """One kind of load, for the results file."""
    peers = [name for name in options.servers if name != OURS]
    return {
        "machine": describe(),
        "options": {name: getattr(options, name) for name in _KEPT},
        "workload": workload.manifest.as_dict(),
        "ratios": {name: ratio(runs, OURS, name) for name in peers} if OURS in options.servers else {},
        "summary": {name: summary([run for run in runs if run.server == name]) for name in options.servers},
        "runs": [asdict(run) for run in runs],
    }


_KEPT: Final = ("spans_per_request", "connections", "in_flight", "classification", "rounds", "seconds", "servers")


def title(entry: dict[str, Any]) -> str:
    """What was sent, in words."""
    options = entry["options"]
    spans, connections = options["spans_per_request"], options["connections"]
    return (
        f"{spans} span{'s' * (spans > 1)} a request, {options['in_flight']} in flight on {connections} "
        f"connection{'s' * (connections > 1)}"
    ) + (", public" if options["classification"] == "public" else "")


def show(entry: dict[str, Any], console: Console) -> None:
    """One kind of load, for people."""
    table = Table(title=title(entry), title_justify="left", header_style="bold")
    table.add_column("median")
    for server in entry["summary"]:
        table.add_column(server, justify="right")
    for name, digits in _DIGITS.items():
        medians = (figures[name]["median"] for figures in entry["summary"].values())
        table.add_row(name.replace("_", " "), *(f"{median:,.{digits}f}" for median in medians))
    ratios = (entry["ratios"].get(server) for server in entry["summary"])
    table.add_row("spanward is", *("" if times is None else f"{times:.2f}x" for times in ratios))
    console.print(table)


def markdown(entries: Sequence[dict[str, Any]]) -> str:
    """The table of the documentation: a row for each kind of load and server."""
    lines = ["| load | server | spans per CPU-second (min to max) | spanward is | wall spans/s | p99, ms | MiB |"]
    lines.append("|---|---|---:|---:|---:|---:|---:|")
    for entry in entries:
        for server, figures in entry["summary"].items():
            rate = figures["spans_per_cpu_second"]
            cells = (
                title(entry),
                server,
                f"{rate['median']:,.0f} ({rate['min']:,.0f} to {rate['max']:,.0f})",
                f"{entry['ratios'][server]:.2f}x" if server in entry["ratios"] else "",
                *(f"{figures[name]['median']:,.0f}" for name in ("spans_per_second", "p99_ms", "peak_rss_mib")),
            )
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def chart(entries: Sequence[dict[str, Any]]) -> str:
    """The medians of spans per CPU-second, as SVG."""
    groups = {
        title(entry): {
            server: figures["spans_per_cpu_second"]["median"] for server, figures in entry["summary"].items()
        }
        for entry in entries
    }
    machine = entries[0]["machine"]
    note = f"medians of paired rounds; {machine['cpu']}, {machine['cores']} cores, {machine['date'][:10]}"
    return bars("Spans per CPU-second of the server", groups, note)


def _kept(path: Path) -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return entries


def _keep(entry: dict[str, Any], path: Path) -> None:
    """Put one kind of load among those of earlier runs, and draw them all."""
    entries = _kept(path) | {title(entry): entry}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".svg").write_text(chart(list(entries.values())), encoding="utf-8")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans-per-request", type=int, default=512)
    parser.add_argument("--connections", type=int, default=1, help="connections of the load generator")
    parser.add_argument("--in-flight", type=int, help="calls under way; 8, or one for each connection")
    parser.add_argument(
        "--classification", choices=("internal", "public"), default="internal", help="internal encrypts the payload"
    )
    parser.add_argument("--rounds", type=int, default=3, help="the figures are medians of them")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the load in each run")
    parser.add_argument("--servers", nargs="+", choices=list(SERVERS), default=list(SERVERS), help="only these")
    parser.add_argument("--output", type=Path, default=RESULTS / "peers.json", help="where the report is kept")
    parser.add_argument("--markdown", action="store_true", help="measure nothing; print the kept report as a table")
    options = parser.parse_args(arguments)
    options.in_flight = options.in_flight or max(_IN_FLIGHT, options.connections)
    for name in ("spans_per_request", "connections", "in_flight", "rounds", "seconds"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; 1 when a run does not count."""
    options, errors = _arguments(arguments), Console(stderr=True)
    if options.markdown:
        print(markdown(list(_kept(options.output).values())))
        return 0
    try:
        with errors.status("preparing") as status:
            workload = generate(-(-_SPANS // options.spans_per_request), options.spans_per_request)
            entry = report(compare(workload, options, status.update), workload, options)
    except (ServerError, ToolError) as error:
        errors.print(f"bench: {error}", markup=False, highlight=False)
        return 1
    _keep(entry, options.output)
    show(entry, Console())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
