"""How the sidecar does as its table grows: taking spans in and reading them back, before and after compaction.

    python bench/growth.py --spans 1000000 10000000 [--extra 200000] [--calls 30] [--folder DIR] [--json]

A sidecar whose compaction is off is filled up to each size. There, `--extra` spans more tell what taking in costs; then
traces by id, searches, services and operations are asked for over Jaeger's storage API, and percentiles in this
process. The table is compacted in a process of its own and all is asked again. The next size goes on from there. Sizes
are rounded up to whole rounds of the workload, 51,200 spans. Needs Go, for the load generator. The report is kept in
bench/results/growth.json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import grpc
import pyarrow as pa
from deltalake import DeltaTable
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside it; the package `bench` is one up

from bench.load import Load, ToolError, record  # noqa: E402 - the line above makes it importable
from bench.machine import describe  # noqa: E402
from bench.questions import Questions  # noqa: E402
from bench.server import ServerError  # noqa: E402
from bench.sidecar import Sidecar  # noqa: E402
from bench.workload import generate  # noqa: E402
from spanward.connector.percentiles.reader import percentiles  # noqa: E402
from spanward.extension.jaeger.storage_pb2_grpc import TraceReaderStub  # noqa: E402
from spanward.store.compaction import CompactionSettings  # noqa: E402
from spanward.store.span_store import SpanStore  # noqa: E402

RESULTS: Final = ROOT / "bench" / "results" / "growth.json"
REQUESTS: Final = 100
_ROUNDS_AT_ONCE: Final = 10
_WARM_UP: Final = 3
_EAGER: Final = CompactionSettings(min_files=2)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a question costs, over calls of a warm server.

    Attributes:
        cpu_ms, wall_ms: medians; CPU time of whoever answers, with all its threads.
        p95_ms: of the wall time.
        found: what the answers hold, on average.
    """

    cpu_ms: float
    wall_ms: float
    p95_ms: float
    found: float


@dataclass(frozen=True, slots=True)
class TakingIn:
    """What taking the extra spans in costs, until they are in the lake."""

    spans_per_cpu_second: float
    spans_per_second: float


@dataclass(frozen=True, slots=True)
class Compaction:
    """What merging all small files costs a process of its own."""

    cpu_seconds: float
    wall_seconds: float
    peak_rss_mib: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What reading costs.

    Attributes:
        files, bytes_per_span: of the table `spans`.
        peak_rss_mib: of the sidecar since it started: filling included where the table is fresh, else reading only.
    """

    files: int
    bytes_per_span: float
    peak_rss_mib: float
    costs: dict[str, Cost]


@dataclass(frozen=True, slots=True)
class Mark:
    """What was measured at one size."""

    spans: int
    taking_in: TakingIn
    fresh: Reading
    compaction: Compaction
    compacted: Reading


class Growth:
    """One table, growing."""

    def __init__(self, folder: Path, calls: int, progress: Progress) -> None:
        """Begin with an empty table.

        Args:
            folder: for the table and what else the sidecar needs.
            calls: of each question.
            progress: shows how far it is.
        """
        self._folder = folder
        self._data = folder / "data"
        self._calls = calls
        self._progress = progress
        self._workload = generate(REQUESTS, 512)
        self._recording = record(self._workload.requests, folder / "requests.bin")
        self._rounds = 0

    @property
    def spans(self) -> int:
        """Rows of the table."""
        return self._rounds * self._workload.manifest.spans

    def mark(self, spans: int, extra: int) -> Mark:
        """Grow to a size and measure there.

        Raises:
            ServerError: the sidecar failed, or lost or doubled a span.
            ToolError: the load generator is not there.
        """
        with self._sidecar() as sidecar:
            self._fill(sidecar, spans)
            size, taking_in = self.spans, self._take_in(sidecar, extra)
            fresh = self._reading(sidecar, "fresh")
        task = self._progress.add_task(f"{self.spans:,} spans: compacting", total=1)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            compaction = pool.submit(compacted, self._data).result()
        self._progress.advance(task)
        with self._sidecar() as sidecar:
            return Mark(size, taking_in, fresh, compaction, self._reading(sidecar, "compacted"))

    def _sidecar(self) -> Sidecar:
        return Sidecar(self._folder, lake={"compaction_interval_seconds": 0})

    def _fill(self, sidecar: Sidecar, spans: int) -> None:
        wanted = self._rounds_of(spans)
        task = self._progress.add_task(f"{spans:,} spans: filling", total=wanted, completed=self._rounds)
        while self._rounds < wanted:
            self._send(sidecar, min(_ROUNDS_AT_ONCE, wanted - self._rounds))
            self._progress.update(task, completed=self._rounds)
        sidecar.drain(self.spans)

    def _take_in(self, sidecar: Sidecar, spans: int) -> TakingIn:
        size, before = self.spans, sidecar.cpu_seconds()
        seconds = self._send(sidecar, self._rounds_of(spans))
        sidecar.drain(self.spans)
        taken = self.spans - size
        return TakingIn(taken / (sidecar.cpu_seconds() - before), taken / seconds)

    def _send(self, sidecar: Sidecar, rounds: int) -> float:
        """Send whole rounds; the seconds that took."""
        load = Load(self._recording, apart_ns=self._workload.length_ns, spans=rounds * self._workload.manifest.spans)
        result = load.run(sidecar.target, first_round=self._rounds + 1)
        if result.calls_failed or result.rejected_spans:
            raise sidecar.error(f"{result.calls_failed} calls failed: {result.last_error}")
        self._rounds += rounds
        return result.wall_s

    def _rounds_of(self, spans: int) -> int:
        return -(-spans // self._workload.manifest.spans)

    def _reading(self, sidecar: Sidecar, state: str) -> Reading:
        costs: dict[str, Cost] = {}
        with grpc.insecure_channel(sidecar.jaeger) as channel:
            questions = Questions(TraceReaderStub(channel), self._workload, self._rounds, Random(self._rounds))
            asked = questions.by_name()
            task = self._progress.add_task(f"{self.spans:,} spans, {state}: asking", total=len(asked) + 1)
            for name, ask in asked.items():
                costs[name] = cost(ask, sidecar.cpu_nanoseconds, self._calls)
                self._progress.advance(task)
        store = SpanStore.open(self._data, read_only=True)
        try:
            costs["percentiles"] = cost(lambda: _percentiles(store), time.process_time_ns, self._calls)
        finally:
            store.close()
        self._progress.advance(task)
        files, size = live_files(self._data)
        return Reading(files, size / self.spans, sidecar.peak_rss_bytes() / 2**20, costs)


def cost(ask: Callable[[], int], cpu_ns: Callable[[], int], calls: int) -> Cost:
    """Ask some times to warm up and then `calls` times, one after the other."""
    for _ in range(_WARM_UP):
        ask()
    cpu, wall, found = list[float](), list[float](), list[int]()
    for _ in range(calls):
        before, begin = cpu_ns(), time.perf_counter()
        found.append(ask())
        wall.append((time.perf_counter() - begin) * 1e3)
        cpu.append((cpu_ns() - before) / 1e6)
    p95 = sorted(wall)[min(int(0.95 * calls), calls - 1)]
    return Cost(statistics.median(cpu), statistics.median(wall), p95, statistics.mean(found))


def compacted(data: Path) -> Compaction:
    """Merge files as far as that goes, sooner than a sidecar would; for a process of its own."""
    begin = time.perf_counter()
    store = SpanStore.open(data)
    try:
        while store.compact(_EAGER).files_before:
            pass
    finally:
        store.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    return Compaction(time.process_time(), time.perf_counter() - begin, peak)


def live_files(data: Path) -> tuple[int, int]:
    """Files of the newest version of the table `spans`, and their bytes: merged ones stay on disk for a while."""
    actions = pa.table(DeltaTable(str(data / "lake" / "spans")).get_add_actions(flatten=True))
    sizes: list[int] = actions["size_bytes"].to_pylist()
    return len(sizes), sum(sizes)


def _percentiles(store: SpanStore) -> int:
    """All latencies by operation."""
    return int(percentiles(store, tenant="default").num_rows)


def rows(marks: Sequence[Mark]) -> Iterator[tuple[str, ...]]:
    """The table for people: a heading and a row for each figure, a column for each size and state."""
    yield ("figure", *(f"{mark.spans:,} {state}" for mark in marks for state in ("fresh", "compacted")))
    yield ("taking in, spans per CPU-second", *_pairs(marks, lambda mark: mark.taking_in.spans_per_cpu_second))
    yield ("compaction, CPU-s", *_pairs(marks, lambda mark: mark.compaction.cpu_seconds, late=True))
    yield ("compaction, MiB at most", *_pairs(marks, lambda mark: mark.compaction.peak_rss_mib, late=True))
    readings = [reading for mark in marks for reading in (mark.fresh, mark.compacted)]
    yield ("files", *(f"{reading.files:,}" for reading in readings))
    yield ("bytes a span", *(f"{reading.bytes_per_span:.1f}" for reading in readings))
    yield ("sidecar, MiB at most", *(f"{reading.peak_rss_mib:,.0f}" for reading in readings))
    for name in marks[0].fresh.costs:
        costs = [reading.costs[name] for reading in readings]
        yield (f"{name}: CPU ms", *(f"{each.cpu_ms:,.1f}" for each in costs))
        yield (f"{name}: ms", *(f"{each.wall_ms:,.1f}" for each in costs))
        yield (f"{name}: p95 ms", *(f"{each.p95_ms:,.1f}" for each in costs))


def _pairs(marks: Sequence[Mark], figure: Callable[[Mark], float], *, late: bool = False) -> Iterator[str]:
    for mark in marks:
        cell = f"{figure(mark):,.0f}"
        yield from ("", cell) if late else (cell, "")


def show(marks: Sequence[Mark], console: Console) -> None:
    """The marks for people."""
    heading, *body = rows(marks)
    table = Table(title="one table, growing", title_justify="left", header_style="bold")
    for place, column in enumerate(heading):
        table.add_column(column, justify="right" if place else "left")
    for row in body:
        table.add_row(*row)
    console.print(table)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spans", type=int, nargs="+", default=[1_000_000], help="sizes, ascending")
    parser.add_argument("--extra", type=int, default=200_000, help="spans that tell what taking in costs at a size")
    parser.add_argument("--calls", type=int, default=30, help="of each question; figures are medians of them")
    parser.add_argument("--folder", type=Path, help="keep the table there instead of removing it")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the report is kept")
    options = parser.parse_args(arguments)
    if options.spans != sorted(set(options.spans)) or min(options.spans[0], options.extra, options.calls) <= 0:
        parser.error("--spans must ascend; --spans, --extra and --calls must be above 0")
    return options


def grow(options: argparse.Namespace, console: Console) -> Iterator[Mark]:
    """Measure at one size after the other, with progress bars."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with (
        tempfile.TemporaryDirectory(prefix="spanward-growth-") as temporary,
        Progress(*columns, console=console) as progress,
    ):
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        growth = Growth(folder, options.calls, progress)
        for spans in options.spans:
            yield growth.mark(spans, options.extra)


def _keep(marks: Sequence[Mark], options: argparse.Namespace) -> dict[str, Any]:
    """Write the report of the marks so far; the report again."""
    kept = {name: value for name, value in vars(options).items() if name in {"spans", "extra", "calls"}}
    report: dict[str, Any] = {"machine": describe(), "options": kept, "marks": [asdict(mark) for mark in marks]}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return report


def main(arguments: list[str] | None = None) -> int:
    """Run it; 1 when the sidecar failed."""
    options, errors = _arguments(arguments), Console(stderr=True)
    marks: list[Mark] = []
    report: dict[str, Any] = {}
    try:
        for mark in grow(options, errors):
            marks.append(mark)
            report = _keep(marks, options)  # at every size: the next one may take long, or fail
    except (ServerError, ToolError) as error:
        errors.print(f"bench: {error}", markup=False, highlight=False)
        return 1
    if options.json:
        print(json.dumps(report))
    else:
        show(marks, Console())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
