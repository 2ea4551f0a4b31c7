"""Where the time goes: CPU and wall time per span of each stage of the job, in this process.

    python bench/stages.py [--requests 40] [--spans-per-request 512] [--record-spans 4096] [--engine auto] [--json]

The stages are those of a span's way from the receiver to the lake, each on all requests before the next one begins. The
sum is what the work itself costs; what the server needs beyond it is transport, event loop and threads.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import pyarrow as pa
from rich.console import Console
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside it; the package `bench` is one up

from bench.machine import describe  # noqa: E402 - the line above makes it importable
from bench.workload import generate  # noqa: E402
from spanward.connector.percentiles.aggregate import SPAN_COLUMNS, aggregate  # noqa: E402
from spanward.processor.governance.decode_protobuf import decode_protobuf  # noqa: E402
from spanward.processor.governance.kernel import Kernel, load_kernel  # noqa: E402
from spanward.processor.governance.limits import Limits  # noqa: E402
from spanward.processor.policy.config import Policy  # noqa: E402
from spanward.processor.policy.governor import Governor  # noqa: E402
from spanward.processor.policy.keys import HashKey  # noqa: E402
from spanward.processor.policy.native import Engine  # noqa: E402
from spanward.processor.policy.span import SpanRecord  # noqa: E402
from spanward.sidecar.component import Encoding  # noqa: E402
from spanward.store.batch import Batch, Signal  # noqa: E402
from spanward.store.clock import Clock, SystemClock  # noqa: E402
from spanward.store.layout import intake_folder  # noqa: E402
from spanward.store.log import IntakeLog  # noqa: E402
from spanward.store.records import SpansRecord, concatenate, encode  # noqa: E402
from spanward.store.rows import build_rows  # noqa: E402
from spanward.store.span_store import SpanStore  # noqa: E402

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Stage:
    """What a stage costs, in microseconds a span; CPU time is that of all threads."""

    name: str
    cpu_us: float
    wall_us: float


class Stopwatch:
    """Times stages over a known number of spans."""

    def __init__(self, spans: int) -> None:
        self._spans = spans
        self.stages: list[Stage] = []

    def each(self, name: str, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Do `work` on every item and note what all of it took."""
        cpu, wall = time.process_time(), time.perf_counter()
        results = [work(item) for item in items]
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        self.stages.append(Stage(name, cpu / self._spans * 1e6, wall / self._spans * 1e6))
        return results


def measure(requests: Sequence[bytes], spans: int, record_spans: int, data: Path, engine: Engine) -> list[Stage]:
    """Take requests all the way into a lake at `data`; `record_spans` spans share a log record."""
    watch, clock = Stopwatch(spans), SystemClock()
    store = SpanStore.open(data)
    log = IntakeLog.open(intake_folder(data, "traces"), store.keyring, clock=clock)
    try:
        keys, limits = store.keyring.hash_keys(), Limits()
        kernel = load_kernel(engine, Policy(), keys, limits)
        rows = _by_kernel(watch, kernel, requests, clock) if kernel else _by_twin(watch, keys, limits, requests, clock)
        groups = _grouped(rows, record_spans)
        payloads = watch.each("log: encode", lambda group: encode(SpansRecord(concatenate(group), [])), groups)
        sequences = watch.each("log: encrypt, write, fsync", log.append, payloads)
        batches = [Batch(Signal.TRACES, concatenate(group), at) for group, at in zip(groups, sequences, strict=True)]
        tables = [pa.Table.from_batches([batch.rows]).select(SPAN_COLUMNS) for batch in batches]
        watch.each("sketches", aggregate, [pa.concat_tables(tables)])
        watch.each("hot rows", store.append, batches)
        watch.each("lake: Parquet, Delta commit", lambda at_most: _commit_all(store, at_most), [50_000])
    finally:
        log.close()
        store.close()
    return watch.stages


def _by_kernel(watch: Stopwatch, kernel: Kernel, requests: Sequence[bytes], clock: Clock) -> list[pa.RecordBatch]:
    def decode(body: bytes) -> pa.RecordBatch:
        governed = kernel.decode(body, Encoding.PROTOBUF, "default", clock.now_ns())
        if governed is None:
            raise ValueError("the kernel leaves a request of the workload to Python")
        return governed.rows

    return watch.each("kernel: decode, policy, rows", decode, requests)


def _by_twin(
    watch: Stopwatch, keys: Sequence[HashKey], limits: Limits, requests: Sequence[bytes], clock: Clock
) -> list[pa.RecordBatch]:
    governor = Governor(Policy(), keys)
    records = watch.each("decode", lambda body: decode_protobuf(body, limits).records, requests)
    watch.each("policy", governor.govern, records)
    return watch.each("rows", lambda batch: _rows(batch, clock.now_ns()), records)


def _rows(records: Sequence[SpanRecord], received_at_ns: int) -> pa.RecordBatch:
    return build_rows(records, tenant="default", received_at_ns=received_at_ns)


def _grouped(rows: Sequence[pa.RecordBatch], spans: int) -> list[list[pa.RecordBatch]]:
    """Neighbours together until they have `spans` rows."""
    groups: list[list[pa.RecordBatch]] = [[]]
    for batch in rows:
        if sum(each.num_rows for each in groups[-1]) >= spans:
            groups.append([])
        groups[-1].append(batch)
    return groups


def _commit_all(store: SpanStore, at_most: int) -> None:
    while store.hot_rows():
        store.commit(at_most=at_most)


def show(stages: Sequence[Stage], console: Console) -> None:
    """The stages for people."""
    cpu, wall = sum(stage.cpu_us for stage in stages), sum(stage.wall_us for stage in stages)
    table = Table(title="cost per span", title_justify="left", header_style="bold")
    for column in ("stage", "CPU us", "share", "wall us"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in stages:
        table.add_row(stage.name, f"{stage.cpu_us:.2f}", f"{stage.cpu_us / cpu:.0%}", f"{stage.wall_us:.2f}")
    table.add_section()
    table.add_row("sum", f"{cpu:.2f}", f"{1e6 / cpu:,.0f} spans/CPU-s", f"{wall:.2f}")
    console.print(table)


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=40)
    parser.add_argument("--spans-per-request", type=int, default=512)
    parser.add_argument("--record-spans", type=int, default=4096, help="spans that share a log record and its fsync")
    parser.add_argument("--engine", choices=list(Engine), default=Engine.AUTO, help="what decodes and governs")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    options = _arguments(arguments)
    workload = generate(options.requests, options.spans_per_request)
    with tempfile.TemporaryDirectory(prefix="spanward-stages-") as folder:
        # libraries set themselves up on first use; that is no cost of a span
        engine, at_a_time = Engine(options.engine), options.record_spans
        measure(workload.requests[:2], 2 * options.spans_per_request, at_a_time, Path(folder) / "warm-up", engine)
        stages = measure(workload.requests, workload.manifest.spans, at_a_time, Path(folder) / "data", engine)
    if options.json:
        report: dict[str, Any] = {"machine": describe(), "stages": [asdict(stage) for stage in stages]}
        sys.stdout.write(json.dumps(report) + "\n")
    else:
        show(stages, Console())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
