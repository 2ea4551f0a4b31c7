"""Clients that never give a span up, and a ledger of what they were promised.

Each client sends one request after the other, every one with span ids of its own, and repeats the very same body until
it is acknowledged, as the stock exporters do. Some answers are thrown away on purpose, some connections are cut in the
middle, some bodies are sent again after they were acknowledged: none of that may lose a span or store it twice.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.crash_process import Endpoints
from tests.support.crash_transport import GrpcTransport, HttpTransport, LostAnswerError, Transport

_PAUSE_SECONDS: Final = 0.03
_MAX_SPANS: Final = 48
_REMEMBERED: Final = 200
"""Bodies a client may send again later; at its pace they are well within the dedup window of ten minutes."""
_LABELS: Final = (("internal", "30d"), ("internal", "30d"), ("public", "7d"), ("confidential", "365d"))


@dataclass(frozen=True, slots=True)
class Body:
    """A request: one trace.

    Attributes:
        trace_id, span_ids: in lowercase hex.
        payload: the bytes, the same at every attempt.
    """

    trace_id: str
    span_ids: frozenset[str]
    payload: bytes = field(repr=False)


@dataclass
class Ledger:
    """What the clients were promised. Every method may be called from any thread.

    Attributes:
        acknowledged: span ids by trace id.
        open: of requests that have got no answer: stored whole or not at all.
        failures: what must not happen.
        attempts, lost_answers, repeats: requests sent, those without an answer, those sent again on purpose although
            they were acknowledged.
    """

    acknowledged: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    open: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    failures: list[str] = field(default_factory=list[str])
    attempts: int = 0
    lost_answers: int = 0
    repeats: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def begin(self, body: Body) -> None:
        """The body is about to be sent for the first time."""
        with self.lock:
            self.open[body.trace_id] = body.span_ids

    def count(self, *, attempts: int = 0, lost_answers: int = 0, repeats: int = 0) -> None:
        """Add to the counters."""
        with self.lock:
            self.attempts += attempts
            self.lost_answers += lost_answers
            self.repeats += repeats

    def acknowledge(self, body: Body) -> None:
        """The sidecar said that it has the body."""
        with self.lock:
            self.acknowledged[body.trace_id] = self.open.pop(body.trace_id, body.span_ids)

    def fail(self, message: str) -> None:
        """Something happened that must not."""
        with self.lock:
            self.failures.append(message)

    def promised(self) -> tuple[dict[str, frozenset[str]], dict[str, frozenset[str]]]:
        """Copies of (acknowledged, open) of one moment."""
        with self.lock:
            return dict(self.acknowledged), dict(self.open)


def make_body(rng: random.Random) -> Body:
    """A fresh trace of a few spans; some of them have personal data, and they land in several partitions."""
    message = ExportTraceServiceRequest()
    resource = message.resource_spans.add()
    classification, retention = rng.choice(_LABELS)
    for key, value in (
        ("service.name", f"service-{rng.randrange(4)}"),
        ("spanward.classification", classification),
        ("spanward.retention", retention),
    ):
        resource.resource.attributes.add(key=key).value.string_value = value
    spans = resource.scope_spans.add().spans
    trace_id = rng.randbytes(16)
    now = time.time_ns()
    ids: list[str] = []
    for number in range(rng.randint(1, _MAX_SPANS)):
        span_id = rng.randbytes(8)
        ids.append(span_id.hex())
        span = spans.add(
            trace_id=trace_id,
            span_id=span_id,
            name=f"step {number % 5}",
            start_time_unix_nano=now,
            end_time_unix_nano=now + rng.randrange(1, 10**9),
        )
        span.attributes.add(key="note").value.string_value = f"for user{rng.randrange(10**6)}@example.com"
    return Body(trace_id.hex(), frozenset(ids), message.SerializeToString())


class Way(Enum):
    """What a client does with a request."""

    PLAIN = auto()
    """Sends it until it is acknowledged."""
    AGAIN = auto()
    """And once more after that, as if the answer had been lost."""
    LATE = auto()
    """And before that, one that was acknowledged a while ago, perhaps by a process that was killed since."""
    CUT = auto()
    """First goes away before the answer, or in the middle of the body."""
    ABANDON = auto()
    """Gives up when the first answer is lost."""


_WAYS: Final = (Way.PLAIN,) * 5 + (Way.AGAIN, Way.LATE, Way.CUT, Way.ABANDON)


class Client(threading.Thread):
    """Sends until it is stopped, and then until its last request has an answer."""

    def __init__(
        self, name: str, transport: Transport, where: Callable[[], Endpoints | None], ledger: Ledger, seed: int
    ) -> None:
        super().__init__(name=name)
        self._transport = transport
        self._where = where
        self._ledger = ledger
        self._rng = random.Random(seed)
        self._earlier: deque[Body] = deque(maxlen=_REMEMBERED)
        self._stopping = threading.Event()
        self._abort = threading.Event()

    def finish(self) -> None:
        """Begin nothing new."""
        self._stopping.set()

    def abort(self) -> None:
        """Do not even wait for the last answer; for a run that has failed."""
        self._stopping.set()
        self._abort.set()

    def run(self) -> None:
        """See the class."""
        try:
            while not self._stopping.is_set():
                self._deliver(make_body(self._rng), self._rng.choice(_WAYS))
                self._stopping.wait(self._rng.random() * 0.04)
        except Exception as error:  # noqa: BLE001 - a thread's error would only be printed; the ledger fails the run
            self._ledger.fail(f"{self.name}: {type(error).__name__}: {error}")
        finally:
            self._transport.close()

    def _deliver(self, body: Body, way: Way) -> None:
        self._ledger.begin(body)
        if way is Way.LATE and self._earlier:
            self._ledger.count(repeats=1)
            self._until_acknowledged(self._rng.choice(self._earlier), patient=True)
        if way is Way.CUT and (where := self._found()) is not None:
            self._ledger.count(attempts=1, lost_answers=1)
            self._transport.cut(body.payload, where, self._rng)
        if not self._until_acknowledged(body, patient=way is not Way.ABANDON):
            return
        self._ledger.acknowledge(body)
        self._earlier.append(body)
        if way is Way.AGAIN:
            self._ledger.count(repeats=1)
            self._until_acknowledged(body, patient=True)

    def _until_acknowledged(self, body: Body, *, patient: bool) -> bool:
        while (where := self._found()) is not None:
            self._ledger.count(attempts=1)
            try:
                self._transport.send(body.payload, where)
            except LostAnswerError:
                self._ledger.count(lost_answers=1)
                if not patient:
                    return False
                time.sleep(_PAUSE_SECONDS)
            else:
                return True
        return False

    def _found(self) -> Endpoints | None:
        """Where the sidecar is, once it is somewhere; None when this client is to end."""
        while not self._abort.is_set():
            where = self._where()
            if where is not None:
                return where
            self._abort.wait(_PAUSE_SECONDS)
        return None


def start_clients(
    where: Callable[[], Endpoints | None], ledger: Ledger, *, seed: int, each: int = 3
) -> Sequence[Client]:
    """So many clients of each transport, running."""
    clients = [
        Client(f"{kind.__name__} {number}", kind(), where, ledger, seed * 1000 + 2 * number + offset)
        for number in range(each)
        for offset, kind in enumerate((GrpcTransport, HttpTransport))
    ]
    for client in clients:
        client.start()
    return clients
