"""What a second core is worth: the whole pipeline without the network, on one core and on two, in turns.

    python bench/scaling.py [--runs 3] [--spans 300000] [--spans-per-request 512] [--in-flight 8] [--json]

The sidecar's own graph runs in a child process that may use so many cores; requests that are encoded beforehand, with
ids of their own, go from memory through decoding and policy, the intake log, memory and the lake, as if they had come
over the network. The time ends when all of them are committed. The ratio is the median over paired runs of their spans
per second.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside it; the package `bench` is one up

from bench.fresh_ids import FreshRequest  # noqa: E402 - the line above makes it importable
from bench.machine import describe  # noqa: E402
from bench.sidecar import configuration  # noqa: E402
from bench.workload import generate  # noqa: E402
from spanward.sidecar.component import Encoding  # noqa: E402
from spanward.sidecar.config import parse  # noqa: E402
from spanward.sidecar.graph import Pipeline  # noqa: E402
from spanward.sidecar.service import Sidecar  # noqa: E402
from spanward.store.span_store import SpanStore  # noqa: E402

RESULTS: Final = ROOT / "bench" / "results" / "scaling.json"
_SPANS_OF_WORKLOAD: Final = 25_600
_ONE, _TWO = 1, 2
_QUIET: Final = 0.9
"""Of a core, what a run that may use one has when the machine does nothing else."""


@dataclass(frozen=True, slots=True)
class Load:
    """What goes through the pipeline.

    Attributes:
        spans: at least so many.
        in_flight: requests under way at any time.
    """

    spans: int
    spans_per_request: int
    in_flight: int
    engine: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run's figures, until all spans were committed.

    Attributes:
        cores: that it might use.
        cores_used: on average; well below 1 on one core when the machine had other work, or the disk was slow.
    """

    cores: int
    cores_used: float
    spans: int
    spans_per_second: float
    spans_per_cpu_second: float


def measure(cores: int, load: Load) -> Run:
    """One run in a process of its own, on the first `cores` cores that this process may use."""
    with (
        tempfile.TemporaryDirectory(prefix="spanward-scaling-") as folder,
        _only(cores),
        ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
    ):
        return pool.submit(run, load, Path(folder)).result()


@contextmanager
def _only(cores: int) -> Generator[None, None, None]:
    """Processes that start meanwhile have so many cores, and so have the thread pools that they make."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(load: Load, folder: Path) -> Run:
    """One run in this process; `folder` is empty."""
    workload = generate(-(-_SPANS_OF_WORKLOAD // load.spans_per_request), load.spans_per_request)
    rounds = -(-load.spans // workload.manifest.spans)
    fresh = [FreshRequest(body) for body in workload.requests]
    bodies = [request.copy(number) for number in range(1, rounds + 1) for request in fresh]
    spans = rounds * workload.manifest.spans
    # libraries set themselves up on first use; that is no cost of a span
    asyncio.run(_through(workload.requests[:8], load, folder / "warm-up"))
    cpu, wall = asyncio.run(_through(bodies, load, folder / "data"))
    store = SpanStore.open(folder / "data", read_only=True)
    stored = store.snapshot().count_rows()
    store.close()
    if stored != spans:
        raise RuntimeError(f"{stored:,} rows where {spans:,} spans were sent")
    return Run(len(os.sched_getaffinity(0)), cpu / wall, spans, spans / wall, spans / cpu)


async def _through(bodies: Sequence[bytes], load: Load, data: Path) -> tuple[float, float]:
    """Take bodies through a sidecar's pipeline into its lake; CPU and wall seconds."""
    document = configuration({"otlp": 0, "health": 0, "metrics": 0, "jaeger": 0}, engine=load.engine)
    sidecar = Sidecar(parse(yaml.safe_dump(document), source="the benchmark's configuration"), data)
    await sidecar.start()
    assert sidecar.graph is not None
    cpu, wall = time.process_time(), time.perf_counter()
    (pipeline,) = sidecar.graph.pipelines.values()
    waiting = iter(bodies)
    async with asyncio.TaskGroup() as group:
        for _ in range(load.in_flight):
            group.create_task(_send(pipeline, waiting))
    await sidecar.graph.shutdown()  # commits what is left
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    await sidecar.shutdown()
    return cpu, wall


async def _send(pipeline: Pipeline, bodies: Iterator[bytes]) -> None:
    for body in bodies:
        await pipeline.ingest(body, Encoding.PROTOBUF, "default")


def ratio(runs: Sequence[Run]) -> float:
    """How many times as fast two cores are: the median over paired runs."""
    one, two = ([each.spans_per_second for each in runs if each.cores == cores] for cores in (_ONE, _TWO))
    return statistics.median(fast / slow for slow, fast in zip(one, two, strict=True))


def show(report: dict[str, Any], console: Console) -> None:
    """The report for people."""
    table = Table(title="the whole pipeline without the network", title_justify="left", header_style="bold")
    for column in ("cores", "used", "spans per second", "spans per CPU-second"):
        table.add_column(column, justify="right")
    for each in report["runs"]:
        rates = (f"{each[name]:,.0f}" for name in ("spans_per_second", "spans_per_cpu_second"))
        table.add_row(str(each["cores"]), f"{each['cores_used']:.2f}", *rates)
    console.print(table)
    console.print(f"two cores are {report['ratio']:.2f}x as fast as one", highlight=False)
    if min(each["cores_used"] for each in report["runs"] if each["cores"] == _ONE) < _QUIET:
        console.print("the machine had other work: this says little", style="yellow", highlight=False)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="of each number of cores")
    parser.add_argument("--spans", type=int, default=300_000, help="in each run; all lie in memory beforehand")
    parser.add_argument("--spans-per-request", type=int, default=512)
    parser.add_argument("--in-flight", type=int, default=8, help="requests under way at any time")
    parser.add_argument("--engine", choices=("auto", "kernel", "python"), default="auto")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the report is kept")
    options = parser.parse_args(arguments)
    if min(options.runs, options.spans, options.spans_per_request, options.in_flight) <= 0:
        parser.error("--runs, --spans, --spans-per-request and --in-flight must be above 0")
    if len(os.sched_getaffinity(0)) < _TWO:
        parser.error("this needs two cores")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    options = _arguments(arguments)
    load = Load(options.spans, options.spans_per_request, options.in_flight, options.engine)
    with Console(stderr=True).status("measuring"):
        runs = [measure(cores, load) for _, cores in itertools.product(range(options.runs), (_ONE, _TWO))]
    report = {
        "machine": describe(),
        "options": asdict(load) | {"runs": options.runs},
        "ratio": ratio(runs),
        "runs": [asdict(each) for each in runs],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(report))
    else:
        show(report, Console())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
