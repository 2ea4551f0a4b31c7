"""Spans per CPU-second of the whole job, from OTLP in to rows in the lake.

    python bench/run.py [--runs 3] [--seconds 10] [--spans-per-request 512] [--in-flight 8] [--engine kernel] [--json]

Without --engine it measures the compiled kernel, where it is built, and Python in turns: machines are noisy, and only
figures of one run can be compared. Each run starts a sidecar in an empty folder, loads it, and waits until the lake's
table has every accepted span. The figure is accepted spans by the sidecar's user and system time until then. A run
counts only if the table, counted by `spanward query`, has exactly as many rows as spans were accepted, and as many that
name personal data as the workload holds. The load generator needs Go; it is built once.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside it; the package `bench` is one up

from bench.load import Load, ToolError, record  # noqa: E402 - the line above makes it importable
from bench.machine import describe  # noqa: E402
from bench.measure import Run, measure, summary  # noqa: E402
from bench.server import ServerError  # noqa: E402
from bench.sidecar import Sidecar  # noqa: E402
from bench.workload import Workload, generate  # noqa: E402

RESULTS: Final = ROOT / "bench" / "results" / "latest.json"
ENGINES: Final = ["kernel", "python"] if find_spec("spanward.native") else ["python"]


def measured(workload: Workload, options: argparse.Namespace, engine: str) -> Run:
    """One run of one engine in a folder of its own.

    Raises:
        ServerError: the run does not count.
        ToolError: the load generator is not there.
    """
    with tempfile.TemporaryDirectory(prefix="spanward-bench-") as name:
        folder = Path(name)
        recording = record(workload.requests, folder / "requests.bin")
        load = Load(recording, seconds=options.seconds, in_flight=options.in_flight)
        return measure(engine, Sidecar(folder, engine=engine), workload, load)


def show(report: dict[str, Any], console: Console) -> None:
    """The report for people."""
    workload, machine = report["workload"], report["machine"]
    for engine, figures in report["summary"].items():
        title = f"the whole job, OTLP in, rows in the lake: {engine}"
        table = Table(title=title, title_justify="left", header_style="bold")
        for column in ("figure", "median", "min", "max"):
            table.add_column(column, justify="left" if column == "figure" else "right")
        for name, values in figures.items():
            table.add_row(name.replace("_", " "), *(f"{values[key]:,.1f}" for key in ("median", "min", "max")))
        console.print(table)
    console.print(
        f"{report['options']['runs']} runs each, {report['options']['spans_per_request']} spans a request, "
        f"{workload['bytes_per_span']} bytes a span on the wire; {machine['cpu']}, {machine['cores']} cores, "
        f"Python {machine['python']}, {machine['date']}",
        highlight=False,
    )


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="runs of each engine; the figure is their median")
    parser.add_argument("--engine", choices=("kernel", "python"), help="only this one")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the load in each run")
    parser.add_argument("--requests", type=int, default=100, help="distinct requests, sent in turn with new ids")
    parser.add_argument("--spans-per-request", type=int, default=512)
    parser.add_argument("--in-flight", type=int, default=8, help="calls under way at any time")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the report is kept")
    options = parser.parse_args(arguments)
    for name in ("runs", "seconds", "requests", "spans_per_request", "in_flight"):
        if getattr(options, name) <= 0:
            parser.error(f"--{name.replace('_', '-')} must be above 0")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 when a run does not count."""
    options, console, errors = _arguments(arguments), Console(), Console(stderr=True)
    workload = generate(options.requests, options.spans_per_request)
    engines = [options.engine] if options.engine else ENGINES
    runs: list[Run] = []
    try:
        with errors.status("measuring") as status:
            for number in range(1, options.runs + 1):
                for engine in engines:
                    status.update(f"run {number} of {options.runs}: {engine}")
                    runs.append(measured(workload, options, engine))
    except (ServerError, ToolError) as error:
        errors.print(f"bench: {error}", markup=False, highlight=False)
        return 1
    report = {
        "machine": describe(),
        "options": {name: value for name, value in vars(options).items() if name not in {"json", "output"}},
        "workload": workload.manifest.as_dict(),
        "summary": {engine: summary([run for run in runs if run.server == engine]) for engine in engines},
        "runs": [asdict(run) for run in runs],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.json:
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        show(report, console)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
