"""The queue behind a Pipeline: bounded, nothing lost, trouble told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.sdk._batcher import Batcher, Item
from spanward.store.errors import RetryableError

SPAN = ReadableSpan("test", trace.INVALID_SPAN_CONTEXT)


def record(number: int) -> SpanRecord:
    return SpanRecord(f"{number:032x}", f"{number:016x}", str(number), 0, 0, ResourceRecord(), ScopeRecord())


def govern(records: Sequence[SpanRecord]) -> None:
    """Drops every name that starts with "drop", finds an email in every other."""
    for one in records:
        one.verdict = Verdict(dropped=one.name.startswith("drop"), pii=("email",))


class Store:
    """A destination that refuses the first so many writes, and can be held up."""

    def __init__(self, *, refuse: int = 0, error: Exception | None = None) -> None:
        self.names: list[str] = []
        self.sizes: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self._refuse = refuse
        self._error = error or RetryableError("full")

    def __call__(self, items: Sequence[Item]) -> None:
        """Take a batch."""
        assert self.open.wait(10)
        if self._refuse:
            self._refuse -= 1
            raise self._error
        self.sizes.append(len(items))
        self.names += [item.record.name for item in items]


@asynccontextmanager
async def batcher(store: Store, **changes: Any) -> AsyncGenerator[Batcher, None]:
    options: dict[str, Any] = {
        "batch_size": 10,
        "flush_interval_seconds": 60,
        "queue_size": 100,
        "attempts": 3,
        **changes,
    }
    made = Batcher(govern, store, **options)
    made.start()
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other at once."""
    monkeypatch.setattr("spanward.sdk._batcher._FIRST_PAUSE", 0.0)


async def test_a_destination_that_recovers_gets_everything_once() -> None:
    """Two refusals, then success: the batch is stored, once, in order."""
    store = Store(refuse=2)
    async with batcher(store) as queue:
        items = [await queue.add(SPAN, record(number), hurry=True) for number in range(3)]
        assert all([await item.settled for item in items])
    assert store.names == ["0", "1", "2"]
    assert (queue.counts.stored, queue.counts.failed, queue.counts.last_error) == (3, 0, "full")


async def test_a_destination_that_stays_down_is_told_to_who_waits() -> None:
    """All attempts refused: the items settle as not stored, they are counted, and the queue goes on."""
    store = Store(refuse=3)
    async with batcher(store) as queue:
        first = await queue.add(SPAN, record(1), hurry=True)
        assert not await first.settled
        second = await queue.add(SPAN, record(2), hurry=True)
        assert await second.settled
        assert await queue.flush()
    assert (queue.counts.failed, queue.counts.stored) == (1, 1)


async def test_a_bug_in_a_destination_does_not_stop_the_queue(caplog: pytest.LogCaptureFixture) -> None:
    """An exception that nobody planned for: logged with its traceback, not retried, and the next batch goes its way."""
    store = Store(refuse=1, error=TypeError("a bug"))
    async with batcher(store) as queue:
        first = await queue.add(SPAN, record(1), hurry=True)
        assert not await first.settled
        assert await (await queue.add(SPAN, record(2), hurry=True)).settled
    assert "a batch of 1 events is lost" in caplog.text
    assert queue.counts.last_error == "a bug"


async def test_a_full_queue_makes_callers_wait_and_loses_nothing() -> None:
    """Three places and a destination that stands still: the fourth caller waits, and all four arrive."""
    store = Store()
    store.open.clear()
    async with batcher(store, queue_size=3, batch_size=3) as queue:
        for number in range(3):
            await queue.add(SPAN, record(number), hurry=False)
        fourth = asyncio.create_task(queue.add(SPAN, record(3), hurry=True))
        done, _ = await asyncio.wait({fourth}, timeout=0.05)
        assert not done
        assert queue.unsettled == 3
        store.open.set()
        await (await fourth).settled
    assert store.names == ["0", "1", "2", "3"]


async def test_what_nobody_waits_for_goes_with_the_next_full_batch_or_the_timer() -> None:
    """Ten make a batch; a lonely one goes when its time has come."""
    store = Store()
    async with batcher(store, flush_interval_seconds=0.02) as queue:
        items = [await queue.add(SPAN, record(number), hurry=False) for number in range(11)]
        assert all(await asyncio.gather(*(item.settled for item in items)))
    assert store.sizes == [10, 1]


async def test_flush_and_close_do_not_wait_for_the_timer() -> None:
    """A minute's interval: flush settles what is there, close what came after it."""
    store = Store()
    async with batcher(store) as queue:
        await queue.add(SPAN, record(1), hurry=False)
        await asyncio.sleep(0)  # the queue is waiting for company by now
        assert await queue.flush()
        await queue.add(SPAN, record(2), hurry=False)
    assert store.names == ["1", "2"]
    await queue.close()


async def test_what_the_policy_drops_is_neither_stored_nor_failed() -> None:
    """A dropped item settles as not stored, is counted as dropped, and its batch is stored without it."""
    store = Store()
    async with batcher(store) as queue:
        doomed = record(1)
        doomed.name = "drop me"
        first = await queue.add(SPAN, doomed, hurry=False)
        second = await queue.add(SPAN, record(2), hurry=True)
        assert [await first.settled, await second.settled] == [False, True]
        alone = record(3)
        alone.name = "drop me too"
        assert not await (await queue.add(SPAN, alone, hurry=True)).settled
    assert store.names == ["2"]
    assert (queue.counts.dropped, queue.counts.stored, queue.counts.failed) == (2, 1, 0)
    assert queue.counts.pii == {"email": 3}


async def test_a_caller_that_gives_up_does_not_harm_the_rest() -> None:
    """The future of one item is cancelled: it is stored all the same, and so are the others."""
    store = Store()
    async with batcher(store) as queue:
        first = await queue.add(SPAN, record(1), hurry=False)
        first.settled.cancel()
        assert await (await queue.add(SPAN, record(2), hurry=True)).settled
    assert store.names == ["1", "2"]


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(st.sampled_from(["keep", "drop"]), max_size=60),
    hurries=st.lists(st.booleans(), min_size=60, max_size=60),
    batch_size=st.integers(1, 20),
    room=st.integers(0, 20),
    refuse=st.integers(0, 2),
)
def test_every_item_is_settled_exactly_once_and_in_order(
    names: list[str],
    hurries: list[bool],
    batch_size: int,
    room: int,
    refuse: int,
) -> None:
    """Any mix that a retry can heal: what is kept arrives once, in order, in bounded batches."""
    store = Store(refuse=refuse)

    async def run() -> Batcher:
        options = {"batch_size": batch_size, "queue_size": batch_size + room, "flush_interval_seconds": 0.001}
        async with batcher(store, **options) as queue:
            for number, name in enumerate(names):
                one = record(number)
                one.name = f"{name} {number}"
                await queue.add(SPAN, one, hurry=hurries[number])
        return queue

    queue = asyncio.run(run())
    assert store.names == [f"{name} {number}" for number, name in enumerate(names) if name == "keep"]
    assert all(size <= batch_size for size in store.sizes)
    assert queue.unsettled == 0
    assert queue.counts.stored + queue.counts.dropped == queue.counts.accepted == len(names)
