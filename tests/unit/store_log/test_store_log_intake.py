"""The intake: what is acknowledged is kept, what is refused is not, and each body is taken once."""

from __future__ import annotations

import asyncio
import errno
import shutil
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from spanward.store.batch import Batch
from spanward.store.clock import ManualClock
from spanward.store.dedup import DedupKeys
from spanward.store.errors import InvalidRequestError, OverloadedError, PermanentError, RetryableError, StoreError
from spanward.store.intake import Intake, IntakeSettings, SubmitResult
from spanward.store.keyring import Keyring
from spanward.store.log import IntakeLog
from spanward.store.records import DedupRecord, SpansRecord, decode
from tests.unit.store_log.conftest import OpenLog
from tests.unit.store_log.support import Collector, Decoded, decode_requests, decoder, failing, make_rows

SETTINGS = IntakeSettings(retry_first_seconds=0.001, retry_longest_seconds=0.002)
Start = Callable[..., Awaitable[Intake]]


@pytest.fixture
async def start(keyring: Keyring, clock: ManualClock) -> AsyncIterator[Start]:
    """Starts intakes over a log; whatever still runs at the end is shut down."""
    intakes: list[Intake] = []

    async def start_it(
        log: IntakeLog, consumers: Sequence[Collector] = (), settings: IntakeSettings = SETTINGS
    ) -> Intake:
        intake = Intake(log, keyring, consumers, decode_requests, clock=clock, settings=settings)
        intakes.append(intake)
        await intake.start()
        return intake

    yield start_it
    for intake in intakes:
        await intake.shutdown()


def logged(log: IntakeLog) -> list[str]:
    """The span names in the log, in order."""
    records = [decode(payload) for _, payload in log.reader().records(0)]
    return [name for record in records if isinstance(record, SpansRecord) for name in record.rows["name"].to_pylist()]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what it waits for happens in threads and counters
            await asyncio.sleep(0.001)


@asynccontextmanager
async def disk_is_busy(
    intake: Intake, log: IntakeLog, monkeypatch: pytest.MonkeyPatch, waiting: int
) -> AsyncGenerator[None]:
    """The disk takes a first record and is not done with it until `waiting` requests are ready for the next."""
    entered, done = threading.Event(), threading.Event()
    real = log.append

    def slow(payload: bytes) -> int:
        entered.set()
        assert done.wait(20)
        return real(payload)

    with monkeypatch.context() as patch:
        patch.setattr(log, "append", slow)
        first = asyncio.create_task(intake.submit("default", b"busy", decoder(1, name="busy")))
        await until(entered.is_set)
        yield
        await until(lambda: sum(len(group.requests) for group in intake._committer._queue) == waiting)
        done.set()
        await first


class Gate:
    """A decode that waits in its thread until it is let go."""

    def __init__(self, name: str = "gated") -> None:
        self.entered = threading.Event()
        self.open = threading.Event()
        self._decode = decoder(1, name=name)

    def __call__(self, received_at_ns: int) -> Decoded:
        """Wait, then decode."""
        self.entered.set()
        assert self.open.wait(20)
        decoded = self._decode(received_at_ns)
        assert isinstance(decoded, Decoded)
        return decoded


def refuse(error: Exception) -> Callable[[int], Decoded]:
    def decode_it(_received_at_ns: int) -> Decoded:
        raise error

    return decode_it


# --- refusing ---------------------------------------------------------------------------------------------------------


async def test_intake_bad_bytes_are_the_callers(open_log: OpenLog, start: Start) -> None:
    """The decoder says InvalidRequestError: the caller gets it, nothing is logged or remembered, others are served."""
    log = open_log()
    intake = await start(log)
    for _ in range(2):
        with pytest.raises(InvalidRequestError, match="no protobuf"):
            await intake.submit("default", b"junk", refuse(InvalidRequestError("no protobuf")))
    result = await intake.submit("default", b"junk", decoder(1))
    assert result == SubmitResult()
    assert (intake.pending_bytes, log.last_sequence) == (0, 1)


async def test_intake_rows_of_another_schema_cost_one_request(open_log: OpenLog, start: Start) -> None:
    """A processor's bug: its request fails, the others of its group do not."""
    log = open_log()
    intake = await start(log)
    strange = Decoded(pa.record_batch({"x": [1]}))
    outcomes = await asyncio.gather(
        intake.submit("default", b"a", lambda _: strange),
        intake.submit("default", b"b", decoder(1)),
        return_exceptions=True,
    )
    assert isinstance(outcomes[0], TypeError)
    assert outcomes[1] == SubmitResult()


@pytest.mark.parametrize(("call", "code"), [("fsync", errno.EIO), ("write", errno.ENOSPC)])
async def test_intake_a_refusing_disk_acknowledges_nobody(
    open_log: OpenLog, start: Start, call: str, code: int
) -> None:
    """All of a group get RetryableError; nothing reaches consumers or the log; the same bodies are taken afterwards."""
    log, collector = open_log(), Collector()
    intake = await start(log, [collector])
    await intake.submit("default", b"first", decoder(1, name="first"))
    bodies = [b"%d" % number for number in range(5)]
    with failing(call, code):
        outcomes = await asyncio.gather(
            *(intake.submit("default", body, decoder(1, name=body.decode())) for body in bodies), return_exceptions=True
        )
    assert all(isinstance(outcome, RetryableError) and outcome.retry_after for outcome in outcomes)
    assert len({id(outcome) for outcome in outcomes}) == 5
    assert intake.stats.refused == {"disk": 5}
    assert logged(log) == collector.names() == ["first-0"]
    for body in bodies:
        assert not (await intake.submit("default", body, decoder(1, name=body.decode()))).repeated
    assert sorted(logged(log)) == sorted(collector.names()) == ["0-0", "1-0", "2-0", "3-0", "4-0", "first-0"]


async def test_intake_a_full_disk_is_told_now_and_then(
    open_log: OpenLog, start: Start, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Three refusals at once and one ten seconds later: two lines in the log, the second counts the silent ones."""
    intake = await start(open_log())
    with failing("write", errno.ENOSPC):
        for body in (b"1", b"2", b"3"):
            with pytest.raises(RetryableError):
                await intake.submit("default", body, decoder(1))
        clock.advance(seconds=10)
        with pytest.raises(RetryableError):
            await intake.submit("default", b"4", decoder(1))
    lines = [record.getMessage() for record in caplog.records if "refused since" in record.getMessage()]
    assert [line.partition("(")[2].split()[0] for line in lines] == ["1", "3"]


async def test_intake_a_record_that_is_too_large_is_refused_for_good(
    open_log: OpenLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log will never take it: PermanentError, and the intake goes on."""
    monkeypatch.setattr("spanward.store.log.MAX_PAYLOAD_BYTES", 8000)
    intake = await start(open_log())
    with pytest.raises(PermanentError, match="send less"):
        await intake.submit("default", b"large", lambda _: Decoded(make_rows(500, name="x" * 50)))
    assert await intake.submit("default", b"small", decoder(1)) == SubmitResult()


async def test_intake_a_bug_while_writing_leaves_nobody_waiting(
    open_log: OpenLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unplanned exception: every caller of the group gets an error, and the next group is served."""
    log = open_log()
    intake = await start(log)
    monkeypatch.setattr("spanward.store._group.encode", lambda _record: 1 / 0)
    with pytest.raises(RuntimeError, match="the sidecar's log has the reason"):
        await intake.submit("default", b"a", decoder(1))
    monkeypatch.undo()
    assert await intake.submit("default", b"a", decoder(1)) == SubmitResult()


async def test_intake_pending_bytes_are_bounded(open_log: OpenLog, start: Start) -> None:
    """While too many bytes are under way more are refused, retryably, and taken when there is room again."""
    intake = await start(open_log(), settings=replace(SETTINGS, max_pending_bytes=100))
    gate = Gate()
    first = asyncio.create_task(intake.submit("default", b"x" * 99, gate))
    await until(gate.entered.is_set)
    with pytest.raises(OverloadedError) as caught:
        await intake.submit("default", b"xx", decoder(1))
    assert caught.value.retry_after == SETTINGS.retry_after_seconds
    assert intake.stats.refused == {"pending": 1}
    await intake.submit("default", b"x", decoder(1))
    gate.open.set()
    await first
    assert intake.pending_bytes == 0
    await intake.submit("default", b"x" * 1000, decoder(1))  # alone, even a larger one is taken


async def test_intake_a_full_log_refuses_until_it_is_trimmed(open_log: OpenLog, start: Start) -> None:
    """Nobody commits: the log reaches its bound and requests are refused; a commit and a trim make room."""
    log, collector = open_log(segment_bytes=10_000), Collector()
    intake = await start(log, [collector], replace(SETTINGS, max_log_bytes=60_000))
    with pytest.raises(OverloadedError, match="exporters have not taken"):  # noqa: PT012 - it takes some
        for number in range(100):
            await intake.submit("default", b"%d" % number, decoder(1))
    assert intake.stats.refused == {"log": 1}
    assert intake.log_bytes > 60_000
    collector.standing = log.last_sequence
    await asyncio.to_thread(intake.trim)
    assert intake.log_bytes < 60_000
    await intake.submit("default", b"more", decoder(1))


async def test_intake_refuses_before_and_after_its_life(
    open_log: OpenLog, keyring: Keyring, clock: ManualClock
) -> None:
    """Not started, or shut down: RetryableError with a time to wait. Shutting down twice, or unstarted, is harmless."""
    intake = Intake(open_log(), keyring, [], decode_requests, clock=clock)
    with pytest.raises(RetryableError, match="not running"):
        await intake.submit("default", b"x", decoder(1))
    await intake.start()
    await intake.submit("default", b"x", decoder(1))
    await intake.shutdown()
    await intake.shutdown()
    with pytest.raises(RetryableError, match="not running") as caught:
        await intake.submit("default", b"x", decoder(1))
    assert caught.value.retry_after
    assert intake.stats.refused == {"closing": 2}


async def test_intake_does_not_start_on_records_of_a_newer_version(open_log: OpenLog, start: Start) -> None:
    """A record that this version cannot obey stops the start; nothing is skipped."""
    log = open_log()
    log.append(b"\x01\x03\x00\x00\x00\x02[]")
    with pytest.raises(StoreError, match="upgrade"):
        await start(log)


async def test_intake_one_slow_request_holds_up_no_other(open_log: OpenLog, start: Start) -> None:
    """Both threads decode slowly while a small request waits: it is taken as soon as one of them is free."""
    intake = await start(open_log(), settings=replace(SETTINGS, decode_threads=2))
    slow, slower = Gate(), Gate()
    flying: list[asyncio.Task[SubmitResult]] = []
    for body, gate in ((b"1", slow), (b"2", slower)):
        flying.append(asyncio.create_task(intake.submit("default", body, gate)))
        await until(gate.entered.is_set)
    small = asyncio.create_task(intake.submit("default", b"small", decoder(1)))
    await asyncio.sleep(0.05)  # all patience is over by now
    slow.open.set()
    assert await small == SubmitResult()
    slower.open.set()
    await asyncio.gather(*flying)


# --- group commit -----------------------------------------------------------------------------------------------------


async def test_intake_many_at_once_share_records(
    open_log: OpenLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """300 requests come while the disk is busy with one: two records for all, every row logged and consumed once."""
    log, collector = open_log(), Collector()
    intake = await start(log, [collector])
    async with disk_is_busy(intake, log, monkeypatch, 300):
        flying = [
            intake.submit("default", b"%d" % n, decoder(2, name=f"r{n}", rejected=n, message=str(n)))
            for n in range(300)
        ]
        tasks = [asyncio.create_task(one) for one in flying]
    results = await asyncio.gather(*tasks)
    assert [(result.rejected, result.message) for result in results] == [(n, str(n)) for n in range(300)]
    expected = sorted(["busy-0", *(f"r{n}-{row}" for n in range(300) for row in range(2))])
    assert sorted(collector.names()) == sorted(logged(log)) == expected
    assert collector.sequences() == [1, 2]
    stats = intake.stats
    assert (stats.requests, stats.rows, stats.records) == (301, 601, 2)
    assert stats.bytes > 0


async def test_intake_waits_a_moment_for_those_who_came_together(
    open_log: OpenLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three requests came together; of the next three one is early: they are one record all the same."""
    monkeypatch.setattr("spanward.store._decoding._MOMENT_SECONDS", 0.5)
    log = open_log()
    intake = await start(log)
    await asyncio.gather(*(intake.submit("default", b"%d" % n, decoder(1)) for n in range(3)))
    early = asyncio.create_task(intake.submit("default", b"early", decoder(1)))
    for _ in range(5):  # turns of the loop
        await asyncio.sleep(0)
    await asyncio.gather(early, *(intake.submit("default", b"late %d" % n, decoder(1)) for n in range(2)))
    assert log.last_sequence == 2


async def test_intake_entries_point_at_their_rows(open_log: OpenLog, start: Start) -> None:
    """Each request of a record has its slice of the rows and its tenant."""
    log = open_log()
    intake = await start(log)
    await asyncio.gather(
        *(intake.submit(f"t{n}", b"x", decoder(n % 3, name=f"r{n}", rejected=n)) for n in range(1, 20))
    )
    seen = 0
    for _, payload in log.reader().records(0):
        record = decode(payload)
        assert isinstance(record, SpansRecord)
        for entry in record.requests:
            names = record.rows["name"].to_pylist()[entry.first_row : entry.first_row + entry.rows]
            assert names == [f"r{entry.rejected}-{row}" for row in range(entry.rejected % 3)]
            assert entry.tenant == f"t{entry.rejected}"
            seen += 1
    assert seen >= 13


async def test_intake_groups_are_bounded(open_log: OpenLog, start: Start) -> None:
    """A group ends before the request that would exceed its rows; one that exceeds them alone has its own record."""
    log = open_log()
    intake = await start(log, settings=replace(SETTINGS, max_record_rows=10))
    await asyncio.gather(*(intake.submit("default", b"%d" % n, decoder(4)) for n in range(20)))
    await intake.submit("default", b"large", decoder(50))
    sizes = [decode(payload) for _, payload in log.reader().records(0)]
    counts = [record.rows.num_rows for record in sizes if isinstance(record, SpansRecord)]
    assert sum(counts) == 130
    assert counts[-1] == 50
    assert max(counts[:-1]) <= 10


async def test_intake_a_group_without_rows_writes_nothing(open_log: OpenLog, start: Start) -> None:
    """All spans of a request were refused: it has its answer, also when it comes again, and the log has no record."""
    log = open_log()
    intake = await start(log)
    for repeated in (False, True):
        result = await intake.submit("default", b"bad spans", decoder(0, rejected=7, message="ids"))
        assert result == SubmitResult(7, "ids", repeated)
    assert log.last_sequence == 0


async def test_intake_answers_after_the_disk_and_the_consumers(
    open_log: OpenLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order is fsync, consumers one by one, answer."""
    events: list[str] = []
    log = open_log()
    real = log.append

    def noting(payload: bytes) -> int:
        sequence = real(payload)
        events.append("durable")
        return sequence

    monkeypatch.setattr(log, "append", noting)

    class Noting(Collector):
        async def consume(self, batch: Batch) -> None:
            events.append("consumed")
            await super().consume(batch)

    intake = await start(log, [Noting(), Noting()])
    await intake.submit("default", b"x", decoder(1))
    events.append("answered")
    assert events == ["durable", "consumed", "consumed", "answered"]


async def test_intake_a_client_that_leaves_breaks_nothing(open_log: OpenLog, start: Start) -> None:
    """Callers are cancelled while decoding and while writing: their spans are kept, and others are served."""
    log, collector = open_log(), Collector()
    intake = await start(log, [collector])
    gate = Gate("left")
    leaving = asyncio.create_task(intake.submit("default", b"left", gate))
    waiting = asyncio.create_task(intake.submit("default", b"left", gate))
    staying = asyncio.create_task(intake.submit("default", b"stay", decoder(1, name="stay")))
    await until(gate.entered.is_set)
    leaving.cancel()
    with suppress(asyncio.CancelledError):
        await leaving
    gate.open.set()
    assert await staying == SubmitResult()
    assert await waiting == SubmitResult(repeated=True)
    hurried = [asyncio.create_task(intake.submit("default", b"%d" % n, decoder(1, name=f"h{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    for task in hurried:
        task.cancel()
    await asyncio.gather(*hurried, return_exceptions=True)
    await until(lambda: intake.pending_bytes == 0)
    assert (await intake.submit("default", b"left", refuse(AssertionError()))).repeated
    assert sorted(collector.names()) == sorted(logged(log))
    assert {"left-0", "stay-0"} <= set(logged(log))


async def test_intake_a_failure_that_nobody_waits_for_is_quiet(open_log: OpenLog, start: Start) -> None:
    """The caller left and then decoding failed: no exception is left unretrieved (warnings are errors here)."""
    intake = await start(open_log())
    entered, leave = threading.Event(), threading.Event()

    def fail(_received_at_ns: int) -> Decoded:
        entered.set()
        assert leave.wait(20)
        raise InvalidRequestError("junk")

    task = asyncio.create_task(intake.submit("default", b"x", fail))
    await until(entered.is_set)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    leave.set()
    await until(lambda: intake.pending_bytes == 0)


async def test_intake_shutdown_finishes_what_is_under_way(open_log: OpenLog, start: Start) -> None:
    """Requests in decoding and in the queue are acknowledged; new ones are refused meanwhile."""
    log, collector = open_log(), Collector()
    intake = await start(log, [collector])
    gate = Gate()
    flying = asyncio.create_task(intake.submit("default", b"x", gate))
    await until(gate.entered.is_set)
    closing = asyncio.create_task(intake.shutdown())
    await asyncio.sleep(0)
    with pytest.raises(RetryableError, match="not running"):
        await intake.submit("default", b"y", decoder(1))
    gate.open.set()
    await closing
    assert await flying == SubmitResult()
    assert collector.names() == logged(log) == ["gated-0"]


async def test_intake_stopped_while_a_large_body_is_hashed(
    open_log: OpenLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The intake stops between the digest and the flight: refused, not lost."""
    gate = threading.Event()

    def slow(*_arguments: object) -> str:
        assert gate.wait(20)
        return "key"

    monkeypatch.setattr(DedupKeys, "of", slow)
    intake = await start(open_log())
    task = asyncio.create_task(intake.submit("default", b"x" * 2_000_000, decoder(1)))
    await asyncio.sleep(0.01)
    closing = asyncio.create_task(intake.shutdown())
    await asyncio.sleep(0.01)
    gate.set()
    with pytest.raises(RetryableError, match="not running"):
        await task
    await closing


# --- repetitions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 2_000_000])
async def test_intake_a_repeated_body_gets_the_stored_answer(open_log: OpenLog, start: Start, size: int) -> None:
    """The same tenant and body: answered as before, not decoded, not stored; another tenant is another request."""
    log = open_log()
    intake = await start(log)
    body = b"b" * size
    assert await intake.submit("a", body, decoder(2, rejected=1, message="one")) == SubmitResult(1, "one")
    again = await intake.submit("a", body, refuse(AssertionError("it must not be decoded")))
    assert again == SubmitResult(1, "one", repeated=True)
    assert not (await intake.submit("b", body, decoder(2))).repeated
    assert (log.last_sequence, intake.stats.repeated, intake.stats.requests) == (2, 1, 2)


async def test_intake_a_repetition_in_flight_waits_for_the_first(open_log: OpenLog, start: Start) -> None:
    """Ten of the same at once: one is taken, the others get its answer once it is durable."""
    log = open_log()
    intake = await start(log)
    gate = Gate()
    tasks = [asyncio.create_task(intake.submit("default", b"x", gate)) for _ in range(10)]
    await until(gate.entered.is_set)
    assert not any(task.done() for task in tasks)
    gate.open.set()
    results = await asyncio.gather(*tasks)
    assert sorted(result.repeated for result in results) == [False] + 9 * [True]
    assert logged(log) == ["gated-0"]


async def test_intake_a_repetition_of_a_failure_is_tried_as_new(open_log: OpenLog, start: Start) -> None:
    """The first one failed while others waited for it: one of them is taken, the rest get that one's answer."""
    log = open_log()
    intake = await start(log)
    failures = [InvalidRequestError("first"), RetryableError("second")]
    entered, leave = threading.Event(), threading.Event()

    def decode_it(_received_at_ns: int) -> Decoded:
        entered.set()
        assert leave.wait(20)
        if failures:
            raise failures.pop(0)
        return Decoded(make_rows(1))

    tasks = [asyncio.create_task(intake.submit("default", b"x", decode_it)) for _ in range(5)]
    await until(entered.is_set)
    leave.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(result, Exception) for result in results) == 2
    assert sum(isinstance(result, SubmitResult) and not result.repeated for result in results) == 1
    assert logged(log) == ["work-0"]


async def test_intake_without_a_window_takes_everything(open_log: OpenLog, start: Start) -> None:
    """dedup_window_seconds 0: equal bodies are all taken, also at once."""
    log = open_log()
    intake = await start(log, settings=replace(SETTINGS, dedup_window_seconds=0))
    results = await asyncio.gather(*(intake.submit("default", b"x", decoder(1)) for _ in range(4)))
    assert not any(result.repeated for result in results)
    assert len(logged(log)) == 4


# --- crashes and restarts ---------------------------------------------------------------------------------------------


def crash_image(folder: Path, target: Path) -> Path:
    """The segments as they are now: records are only ever added, so copying them one by one gives a moment's state."""
    target.mkdir()
    for path in sorted(folder.glob("*.log")):
        shutil.copy(path, target)
    return target


async def test_intake_a_crash_loses_and_doubles_nothing(
    open_log: OpenLog, start: Start, folder: Path, tmp_path: Path
) -> None:
    """The folder is copied at arbitrary moments under load, as a crash would leave it.

    Whoever was acknowledged by then is in the copy, is recognised there, and no span is there twice.
    """
    log = open_log(segment_bytes=30_000)
    intake = await start(log)
    acknowledged: list[bytes] = []

    async def client(number: int) -> None:
        for turn in range(12):
            body = b"%d-%d" % (number, turn)
            await intake.submit("default", body, decoder(1, name=body.decode()))
            acknowledged.append(body)

    load = asyncio.gather(*(client(number) for number in range(8)))
    copies: list[tuple[Path, list[bytes]]] = []
    while not load.done():
        known = list(acknowledged)
        copies.append((crash_image(folder, tmp_path / f"crash-{len(copies)}"), known))
        await asyncio.sleep(0.005)
    await load
    for path, known in copies[:: max(1, len(copies) // 6)]:
        collector = Collector()
        recovered = await start(open_log(path), [collector])
        names = collector.names()
        assert len(names) == len(set(names))
        assert {f"{body.decode()}-0" for body in known} <= set(names)
        for body in known[-5:]:
            assert (await recovered.submit("default", body, refuse(AssertionError()))).repeated


async def test_intake_replays_what_each_consumer_lacks(open_log: OpenLog, start: Start) -> None:
    """After a restart every consumer is given, in order, what is above its own committed sequence, and no more."""
    log = open_log()
    intake = await start(log)
    for number in range(1, 6):
        await intake.submit("default", b"%d" % number, decoder(1, name=f"r{number}"))
    await intake.shutdown()
    log.close()
    log = open_log()
    behind, ahead, level = Collector(standing=1), Collector(standing=3), Collector(standing=5)
    intake = await start(log, [behind, ahead, level])
    assert (behind.sequences(), ahead.sequences(), level.sequences()) == ([2, 3, 4, 5], [4, 5], [])
    assert behind.names() == [f"r{number}-0" for number in range(2, 6)]
    await intake.submit("default", b"new", decoder(1))
    assert behind.sequences()[-1] == ahead.sequences()[-1] == level.sequences()[-1] == 6


async def test_intake_waits_for_a_consumer_during_recovery(open_log: OpenLog, start: Start) -> None:
    """A consumer asks for time while it is given old records: it is given them again, in order."""
    log = open_log()
    intake = await start(log)
    for number in range(3):
        await intake.submit("default", b"%d" % number, decoder(1))
    await intake.shutdown()
    collector = Collector(errors=[RetryableError("full"), RetryableError("full", retry_after=0.001)])
    restarted = await start(log, [collector])
    assert collector.sequences() == [1, 2, 3]
    assert restarted.stats.retries == 2


async def test_intake_never_uses_numbers_that_a_consumer_has_committed(open_log: OpenLog, start: Start) -> None:
    """The folder was emptied, the lake has committed up to 500: new records come after that, and are consumed."""
    log, collector = open_log(), Collector(standing=500)
    intake = await start(log, [collector])
    await intake.submit("default", b"x", decoder(1))
    assert collector.sequences() == [501]


# --- consumers that fail ----------------------------------------------------------------------------------------------


async def test_intake_a_consumer_that_asks_for_time_is_waited_for(open_log: OpenLog, start: Start) -> None:
    """The client is answered at once, for the data is safe; the consumer gets everything, in order, nothing twice."""
    log = open_log()
    slow, quick = Collector(errors=[RetryableError("full") for _ in range(5)]), Collector()
    intake = await start(log, [slow, quick])
    for number in range(3):
        await intake.submit("default", b"%d" % number, decoder(1))
    await until(lambda: len(slow.batches) == 3)
    assert slow.sequences() == quick.sequences() == [1, 2, 3]
    assert intake.stats.retries == 5
    assert quick.attempts == 3


async def test_intake_a_remainder_is_all_that_is_given_again(open_log: OpenLog, start: Start) -> None:
    """A consumer took half of a batch: it gets the other half."""
    log = open_log()

    class Half(Collector):
        async def consume(self, batch: Batch) -> None:
            if not self.batches:
                self.batches.append(replace(batch, rows=batch.rows.slice(0, 1)))
                raise RetryableError("half", remainder=replace(batch, rows=batch.rows.slice(1)))
            await super().consume(batch)

    collector = Half()
    intake = await start(log, [collector])
    await intake.submit("default", b"x", decoder(3))
    await until(lambda: len(collector.batches) == 2)
    assert collector.names() == ["work-0", "work-1", "work-2"]


async def test_intake_a_stalled_consumer_leads_to_refusal(open_log: OpenLog, start: Start) -> None:
    """A consumer takes nothing for long: requests pile up to the bound and are refused; then all is delivered."""
    log = open_log()

    class Stalled(Collector):
        def __init__(self) -> None:
            super().__init__()
            self.is_stalled = True

        async def consume(self, batch: Batch) -> None:
            if self.is_stalled:
                raise RetryableError("full")
            await super().consume(batch)

    collector = Stalled()
    intake = await start(log, [collector], replace(SETTINGS, max_pending_bytes=500))
    await intake.submit("default", b"first", decoder(1))
    tasks = [asyncio.create_task(intake.submit("default", b"%0100d" % n, decoder(1))) for n in range(20)]
    await until(lambda: intake.stats.refused.get("pending", 0) > 0)
    assert log.last_sequence == 1
    collector.is_stalled = False
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    taken = sum(isinstance(outcome, SubmitResult) for outcome in outcomes)
    assert 0 < taken < 20
    await until(lambda: len(collector.names()) == taken + 1)
    assert collector.names() == logged(log)


@pytest.mark.parametrize("error", [PermanentError("never"), ZeroDivisionError("bug")])
async def test_intake_a_consumer_with_a_bug_is_suspended_and_loses_nothing(
    open_log: OpenLog, start: Start, error: Exception
) -> None:
    """It gets nothing more until a restart, whatever it says it has committed; the log keeps all of it for then."""
    log = open_log(segment_bytes=8000)
    broken, sound = Collector(), Collector()
    intake = await start(log, [broken, sound])
    await intake.submit("default", b"0", decoder(1, name="r0"))
    broken.errors.append(error)
    for number in range(1, 6):
        await intake.submit("default", b"%d" % number, decoder(1, name=f"r{number}"))
    assert (broken.sequences(), sound.sequences()) == ([1], [1, 2, 3, 4, 5, 6])
    assert str(error) in intake.stats.suspended["Collector"]
    broken.standing = sound.standing = 6
    await asyncio.to_thread(intake.trim)
    assert logged(log)[-5:] == [f"r{number}-0" for number in range(1, 6)]
    await intake.shutdown()
    restarted = Collector(standing=1)
    await start(log, [restarted, sound])
    assert restarted.names() == [f"r{number}-0" for number in range(1, 6)]


async def test_intake_shutdown_does_not_wait_for_a_stalled_consumer(open_log: OpenLog, start: Start) -> None:
    """What it did not take stays in the log for the next start."""
    log = open_log()
    stalled = Collector(errors=[RetryableError("full", retry_after=3600) for _ in range(1000)])
    intake = await start(log, [stalled], replace(SETTINGS, retry_longest_seconds=3600))
    await intake.submit("default", b"x", decoder(1))
    async with asyncio.timeout(10):
        await intake.shutdown()
    collector = Collector()
    await start(log, [collector])
    assert collector.sequences() == [1]


# --- trimming ---------------------------------------------------------------------------------------------------------


def answers_carried(log: IntakeLog) -> int:
    """How many answers DEDUP records in the log hold."""
    records = [decode(payload) for _, payload in log.reader().records(0)]
    return sum(len(record.answers) for record in records if isinstance(record, DedupRecord))


async def submit_many(intake: Intake, count: int, *, rows: int = 200) -> None:
    for number in range(count):
        await intake.submit("default", b"%d" % number, decoder(rows, rejected=number))


async def test_intake_trim_carries_answers_over_restarts(open_log: OpenLog, start: Start) -> None:
    """All records are committed and truncated: repetitions are recognised, also after a restart, twice over."""
    log, collector = open_log(), Collector()
    intake = await start(log, [collector])
    await submit_many(intake, 5)
    for turn in range(3):
        collector.standing = log.last_sequence
        await asyncio.to_thread(intake.trim)
        assert answers_carried(log) == 5 + turn
        assert logged(log) == []
        await intake.shutdown()
        log.close()
        log = open_log()
        intake = await start(log, [collector])
        again = await intake.submit("default", b"3", refuse(AssertionError()))
        assert again == SubmitResult(3, "", repeated=True)
        await intake.submit("default", b"turn %d" % turn, decoder(200))


async def test_intake_trim_of_an_idle_log_does_nothing(open_log: OpenLog, start: Start) -> None:
    """Called again and again with nothing new, it writes nothing; when the window is over, nothing is left."""
    log, collector = open_log(), Collector()
    intake = await start(log, [collector])
    await submit_many(intake, 3)
    collector.standing = 3
    for _ in range(4):
        intake.trim()
    assert log.last_sequence == 4
    collector.standing = 10**9  # a consumer that counts every record, DEDUP records too
    for _ in range(4):
        intake.trim()
    assert log.last_sequence == 4


async def test_intake_trim_waits_while_answers_cost_more_than_it_frees(
    open_log: OpenLog, start: Start, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tiny requests in one record: truncating would write as much as it frees, so it waits."""
    log, collector = open_log(), Collector()
    intake = await start(log, [collector])
    async with disk_is_busy(intake, log, monkeypatch, 300):
        tasks = [asyncio.create_task(intake.submit("default", b"x%d" % n, decoder(1))) for n in range(300)]
    await asyncio.gather(*tasks)
    collector.standing = log.last_sequence
    size = log.size_bytes
    intake.trim()
    assert log.size_bytes == size
    clock.advance(seconds=601)
    intake.trim()
    assert logged(log) == []
    assert answers_carried(log) == 0


async def test_intake_trim_without_consumers_keeps_nothing(open_log: OpenLog, start: Start, clock: ManualClock) -> None:
    """Nobody needs the log: everything that is written may go."""
    log = open_log()
    intake = await start(log)
    await submit_many(intake, 2)
    clock.advance(seconds=601)
    intake.trim()
    assert logged(log) == []


async def test_intake_trim_on_a_full_disk_frees_and_then_carries(
    open_log: OpenLog, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The carried answers cannot be written because the disk is full: truncating makes the room, and they are kept."""
    log, collector = open_log(segment_bytes=20_000), Collector()
    intake = await start(log, [collector])
    await submit_many(intake, 6)
    collector.standing = 6
    real = log.append
    attempts: list[int] = []

    def full_at_first(payload: bytes) -> int:
        attempts.append(len(payload))
        if len(attempts) == 1:
            raise RetryableError("the disk is full")
        return real(payload)

    monkeypatch.setattr(log, "append", full_at_first)
    intake.trim()
    assert (answers_carried(log), logged(log)) == (6, [])


async def test_intake_trim_on_a_disk_that_stays_full_says_what_may_be_forgotten(
    open_log: OpenLog, start: Start, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Room matters more than recognising repetitions after a restart; in this process they are still recognised."""
    log, collector = open_log(segment_bytes=20_000), Collector()
    intake = await start(log, [collector])
    await submit_many(intake, 6)
    collector.standing = 6

    def full(_payload: bytes) -> int:
        raise RetryableError("the disk is full")

    monkeypatch.setattr(log, "append", full)
    intake.trim()
    assert "6 answers may be forgotten" in caplog.text
    assert logged(log) == []
    assert (await intake.submit("default", b"3", refuse(AssertionError()))).repeated


async def test_intake_trim_under_load_loses_nothing(open_log: OpenLog, start: Start) -> None:
    """Trimming in its thread beside writers: every acknowledged request is delivered once and recognised later."""
    log, collector = open_log(segment_bytes=12_000), Collector()
    intake = await start(log, [collector])
    stop = asyncio.Event()

    async def trimmer() -> None:
        while not stop.is_set():
            collector.standing = max(collector.sequences(), default=0)
            await asyncio.to_thread(intake.trim)

    async def client(number: int) -> None:
        for turn in range(15):
            await intake.submit("default", b"%d-%d" % (number, turn), decoder(20, name=f"{number}-{turn}"))

    trimming = asyncio.create_task(trimmer())
    await asyncio.gather(*(client(number) for number in range(6)))
    stop.set()
    await trimming
    assert len(collector.names()) == len(set(collector.names())) == 6 * 15 * 20
    await intake.shutdown()
    log.close()
    log = open_log()
    assert log.damage() == ()
    intake = await start(log, [collector])
    for number in range(6):
        for turn in range(15):
            assert (await intake.submit("default", b"%d-%d" % (number, turn), refuse(AssertionError()))).repeated
