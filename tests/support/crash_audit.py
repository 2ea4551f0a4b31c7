"""What is stored, against what was promised: read by the store, and past it from the bare files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import grpc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from spanward.connector.percentiles.reader import percentiles
from spanward.extension.jaeger import storage_pb2 as storage
from spanward.extension.jaeger.storage_pb2_grpc import TraceReaderStub
from spanward.store.span_store import SpanStore
from tests.support.crash_load import Ledger

_SHOWN: Final = 5


@dataclass(slots=True)
class Audit:
    """What an audit found.

    Attributes:
        acknowledged, stored: spans promised, and rows found.
        hot: rows that are in the log only.
        problems: every deviation, in words; none is good.
        unpromised: rows of requests whose answer was lost.
    """

    acknowledged: int = 0
    stored: int = 0
    hot: int = 0
    unpromised: int = 0
    problems: list[str] = field(default_factory=list[str])

    def require(self, holds: bool, problem: str) -> None:
        """Note a problem unless `holds`."""
        if not holds:
            self.problems.append(problem)


def audit(data: Path, ledger: Ledger, *, drained: bool) -> Audit:
    """Compare a data folder with the ledger while no sidecar runs.

    Args:
        data: the folder.
        ledger: what clients were promised.
        drained: everything must be in the lake, nothing in the log alone.
    """
    # before the folder is read: a promise that is made later need not be kept yet
    acknowledged, unanswered = ledger.promised()
    store = SpanStore.open(data, read_only=True)
    try:
        snapshot = store.snapshot(None)
        rows = snapshot.to_table(columns=["trace_id", "span_id"], filter=None)
        found = Counter(zip(rows["trace_id"].to_pylist(), rows["span_id"].to_pylist(), strict=True))
        result = Audit(stored=rows.num_rows, hot=store.hot_rows())
        compare(result, found, acknowledged, unanswered)
        counted = sum(percentiles(store, tenant=None)["count"].to_pylist())
        result.require(counted == rows.num_rows, f"percentiles count {counted} spans, {rows.num_rows} are stored")
        if drained:
            strays = stray_files(data, store)
            result.require(not strays, f"{len(strays)} files are neither in the table nor due, such as {_some(strays)}")
            result.require(result.hot == 0, f"{result.hot} rows are not in the lake after the drain")
            in_table = sum(store.read_table("percentiles", tenant=None, columns=["count"])["count"].to_pylist())
            result.require(
                in_table == rows.num_rows, f"the table percentiles counts {in_table} of {rows.num_rows} after the drain"
            )
    finally:
        store.close()
    bare = bare_spans(data)
    result.require(
        sum(bare.values()) == result.stored - result.hot,
        f"the files hold {sum(bare.values())} rows, the store reads {result.stored - result.hot}",
    )
    return result


def compare(
    result: Audit,
    found: Counter[tuple[str, str]],
    acknowledged: Mapping[str, frozenset[str]],
    unanswered: Mapping[str, frozenset[str]],
) -> None:
    """Note what is lost, doubled, halved or of unknown origin."""
    promised = {(trace, span) for trace, spans in acknowledged.items() for span in spans}
    maybe = {(trace, span) for trace, spans in unanswered.items() for span in spans}
    result.acknowledged = len(promised)
    lost = promised - found.keys()
    doubled = [span for span, count in found.items() if count > 1]
    alien = found.keys() - promised - maybe
    halved = [
        trace for trace, spans in unanswered.items() if 0 < sum((trace, span) in found for span in spans) < len(spans)
    ]
    result.unpromised = sum(span in found for span in maybe)
    result.require(not lost, f"{len(lost)} acknowledged spans are lost, such as {_some(lost)}")
    result.require(not doubled, f"{len(doubled)} spans are stored more than once, such as {_some(doubled)}")
    result.require(not alien, f"{len(alien)} spans were never sent, such as {_some(alien)}")
    result.require(not halved, f"{len(halved)} requests are stored in part, such as {_some(halved)}")


def bare_spans(data: Path) -> Counter[tuple[str, str]]:
    """The spans in the files that the newest version of the Delta table names; no code of the store is involved."""
    spans: Counter[tuple[str, str]] = Counter()
    for uri in DeltaTable(str(data / "lake" / "spans")).file_uris():
        with pq.ParquetFile(uri) as file:
            rows = file.read(columns=["trace_id", "span_id"])
        spans.update(zip(rows["trace_id"].to_pylist(), rows["span_id"].to_pylist(), strict=True))
    return spans


def stray_files(data: Path, store: SpanStore) -> set[str]:
    """Files of spans that no version names and nobody will remove: what a crash left would outlive its retention."""
    folder = data / "lake" / "spans"
    there = {str(path.relative_to(folder)) for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}
    table = DeltaTable(str(folder))
    live = {unquote(str(Path(uri).relative_to(folder))) for uri in table.file_uris()}
    return there - live - {item.path for item in store.compliance.pending_removals("spans")}


def jaeger_problems(target: str, sample: Mapping[str, frozenset[str]]) -> list[str]:
    """Ask Jaeger's storage API for whole traces; what is wrong with the answers, in words."""
    request = storage.GetTracesRequest(
        query=[storage.GetTraceParams(trace_id=bytes.fromhex(trace_id)) for trace_id in sample]
    )
    got: dict[str, list[str]] = {trace_id: [] for trace_id in sample}
    with grpc.insecure_channel(target) as channel:
        for chunk in TraceReaderStub(channel).GetTraces(request, timeout=60):
            for resource in chunk.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        got.setdefault(span.trace_id.hex(), []).append(span.span_id.hex())
    return [
        f"Jaeger gets {len(spans)} spans of trace {trace_id}, which has {len(sample.get(trace_id, ()))}"
        for trace_id, spans in got.items()
        if sorted(spans) != sorted(sample.get(trace_id, ()))
    ]


def _some(items: Iterable[object]) -> str:
    return ", ".join(str(item) for item in sorted(items, key=str)[:_SHOWN])
