"""The connector's life: flushes, failures, replay, shutdown."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from spanward.connector.percentiles import percentiles as module
from spanward.connector.percentiles.config import PercentilesConfig
from spanward.connector.percentiles.factory import factory
from spanward.connector.percentiles.percentiles import PercentilesConnector
from spanward.sidecar.component import Consumer, Host
from spanward.sidecar.health import HealthRegistry
from spanward.store.clock import ManualClock
from spanward.store.errors import OverloadedError, RetryableError
from spanward.store.schema import PERCENTILES
from spanward.store.span_store import SpanStore

from .support import MemoryStore, batch, spans


class Bench:
    """A connector with a store in memory and what it reported."""

    def __init__(self, tmp_path: Path, *, interval: float = 3600.0, max_series: int = 100) -> None:
        self.store = MemoryStore()
        self.reports: list[tuple[str, str]] = []
        self.host = Host(
            identifier="percentiles",
            data=tmp_path,
            store=cast("SpanStore", self.store),
            log=None,
            clock=ManualClock(),
            metrics=CollectorRegistry(),
            logger=logging.getLogger("test.percentiles"),
            report=lambda condition, why: self.reports.append((condition, why)),
            health=HealthRegistry(ManualClock()),
        )
        self.config = PercentilesConfig(flush_interval_seconds=interval, max_series=max_series)

    def connector(self) -> PercentilesConnector:
        """A new connector on the same store."""
        made = factory.create(self.config, self.host)
        assert isinstance(made, PercentilesConnector)
        return made

    def counted(self) -> int:
        """Spans in the table."""
        return sum(self.store.table["count"].to_pylist())


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - the product offers no event for what the tests wait for
            await asyncio.sleep(0.002)


def test_it_is_a_consumer(tmp_path: Path) -> None:
    """Scenario: the graph asks what it got. Guarantee: a consumer."""
    assert isinstance(Bench(tmp_path).connector(), Consumer)


async def test_shutdown_flushes(tmp_path: Path) -> None:
    """Scenario: spans, then shutdown, twice. Guarantee: one commit with the right records, rows in the schema."""
    bench = Bench(tmp_path)
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0, 2.0])))
    await connector.consume(batch(2, spans([3.0], status="error")))
    await connector.shutdown()
    await connector.shutdown()
    assert bench.store.appends == [(1, 2)]
    assert bench.store.table.schema == PERCENTILES
    assert bench.counted() == 3
    row = bench.store.table.to_pylist()[0]
    assert (str(row["date"]), row["app_id"], row["sequence_first"], row["sequence_last"]) == (
        "2026-01-01",
        "app-1",
        1,
        2,
    )
    assert connector.committed() == 2


async def test_it_flushes_by_itself(tmp_path: Path) -> None:
    """Scenario: nobody shuts down. Guarantee: the interval alone brings the spans into the table."""
    bench = Bench(tmp_path, interval=0.01)
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0])))
    await until(lambda: connector.committed() == 1 and bench.counted() == 1)
    await connector.shutdown()
    assert bench.counted() == 1


async def test_a_failed_commit_is_repeated_and_reported(tmp_path: Path) -> None:
    """Scenario: the disk is full, twice. Guarantee: degraded, then ok; every span counted once; new ones not lost."""
    bench = Bench(tmp_path, interval=0.01)
    bench.store.fail = [RetryableError("no space left"), RetryableError("no space left")]
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0])))
    await until(lambda: not bench.store.fail)
    await connector.consume(batch(2, spans([1.0])))
    await until(lambda: connector.committed() == 2)
    await connector.shutdown()
    assert bench.counted() == 2
    assert bench.reports[0] == ("degraded", "the table percentiles cannot be written: no space left")
    assert bench.reports[-1] == ("ok", "")


async def test_a_commit_that_failed_late_is_not_repeated(tmp_path: Path) -> None:
    """Scenario: the commit landed but its call failed. Guarantee: the table says so, nothing is doubled."""
    bench = Bench(tmp_path, interval=0.01)
    bench.store.fail = [RetryableError("late: connection lost")]
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0])))
    await until(lambda: connector.committed() == 1)
    await connector.shutdown()
    assert (bench.counted(), bench.store.appends) == (1, [(1, 1)])


async def test_a_bug_while_flushing_loses_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Scenario: an exception nobody planned. Guarantee: logged, degraded, and the next flush has the spans."""
    bench = Bench(tmp_path, interval=0.01)
    bench.store.fail = [ZeroDivisionError("oops")]
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0])))
    await until(lambda: connector.committed() == 1)
    await connector.shutdown()
    assert "a bug" in caplog.text
    assert "ZeroDivisionError" in bench.reports[0][1]
    assert bench.counted() == 1


async def test_shutdown_with_a_broken_table_ends(tmp_path: Path) -> None:
    """Scenario: the table cannot be written at shutdown. Guarantee: it ends; the log keeps what was not committed."""
    bench = Bench(tmp_path)
    bench.store.fail = [RetryableError("gone")] * 5
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0])))
    await connector.shutdown()
    assert (connector.committed(), bench.counted()) == (0, 0)


async def test_replay_after_a_crash(tmp_path: Path) -> None:
    """Scenario: a crash after a commit; the log hands over more than needed. Guarantee: each span is counted once."""
    bench = Bench(tmp_path)
    first = bench.connector()
    await first.start()
    await first.consume(batch(1, spans([1.0])))
    await first.shutdown()
    again = bench.connector()
    await again.start()
    assert again.committed() == 1
    for sequence in (1, 2):
        await again.consume(batch(sequence, spans([1.0])))
    await again.shutdown()
    assert (bench.counted(), bench.store.appends) == (2, [(1, 1), (2, 2)])


async def test_many_spans_are_folded_before_the_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: more spans than are worth waiting. Guarantee: folded in the background, and by consume at the bound."""
    monkeypatch.setattr(module, "_FOLD_ROWS", 4)
    monkeypatch.setattr(module, "_MAX_WAITING_ROWS", 8)
    bench = Bench(tmp_path)
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0] * 5)))
    await until(lambda: connector._state.waiting_rows == 0)
    await connector.consume(batch(2, spans([1.0] * 9)))
    assert connector._state.waiting_rows == 0
    assert bench.store.appends == []
    await connector.shutdown()
    assert bench.counted() == 14


async def test_many_partials_are_flushed_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: many operations at once. Guarantee: they go into the table long before the interval."""
    monkeypatch.setattr(module, "_FOLD_ROWS", 4)
    monkeypatch.setattr(module, "_FLUSH_PARTIALS", 4)
    bench = Bench(tmp_path)
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, *(spans([1.0], name=f"GET /{number}") for number in range(5))))
    await until(lambda: bench.store.appends == [(1, 1)])
    await connector.shutdown()


async def test_memory_is_bounded_when_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: the table is broken and partials pile up. Guarantee: consume refuses, retryably, taking nothing."""
    monkeypatch.setattr(module, "_MAX_PARTIALS", 1)
    bench = Bench(tmp_path)
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0], name="a"), spans([1.0], name="b")))
    assert connector.held(0) is not None
    with pytest.raises(OverloadedError, match="too many sketches") as refusal:
        await connector.consume(batch(2, spans([1.0])))
    assert refusal.value.retry_after == 3600
    await connector.shutdown()
    assert bench.counted() == 2


async def test_overflow_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Scenario: more operations than max_series. Guarantee: one warning with the remedy, nothing lost."""
    bench = Bench(tmp_path, max_series=1)
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0], name="a"), spans([1.0], name="b")))
    await connector.shutdown()
    assert caplog.text.count("raise max_series") == 1
    assert (bench.counted(), sorted(bench.store.table["name"].to_pylist())) == (2, ["a", "other"])


async def test_metrics_come_and_go(tmp_path: Path) -> None:
    """Scenario: a scrape while it runs and after shutdown. Guarantee: counted at once, and unregistered."""
    bench = Bench(tmp_path)
    connector = bench.connector()
    await connector.start()
    await connector.consume(batch(1, spans([1.0])))
    labels = {"service_name": "checkout", "span_name": "GET /", "span_kind": "SPAN_KIND_SERVER"}
    labels |= {"status_code": "STATUS_CODE_UNSET", "tenant": "default"}
    assert bench.host.metrics.get_sample_value("traces_span_metrics_calls_total", labels) == 1.0
    await connector.shutdown()
    assert bench.host.metrics.get_sample_value("traces_span_metrics_calls_total", labels) is None


@pytest.mark.parametrize("options", [{"flush_interval_seconds": 0}, {"max_series": 0}, {"nonsense": 1}])
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    """Scenario: options out of range or unknown. Guarantee: refused by the model."""
    with pytest.raises(ValueError, match=next(iter(options))):
        PercentilesConfig.model_validate(options)
