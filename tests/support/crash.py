"""A campaign of kills: load, SIGKILL at a random moment, start again on the same folder, and over again.

What must hold, audited while the sidecar is down and once more after a drain at the end:

- every acknowledged span is stored, in the lake or in the log;
- no span is stored twice, whatever was sent how often;
- a request without an answer is stored whole or not at all;
- percentiles count every stored span once;
- Jaeger's storage API gives sampled traces whole.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.crash_audit import Audit, audit, jaeger_problems
from tests.support.crash_load import Client, Ledger, start_clients
from tests.support.crash_process import ChildSidecar

_EARLY_KILLS: Final = 0.25
"""Part of the kills that come while the sidecar starts: in recovery, in the middle of opening the tables."""
_DRAINS: Final = 0.15
"""Part of the rounds that end with SIGTERM instead: a drain under load, and a start right after it."""
_START_SECONDS: Final = 2.5
_COMMIT_SECONDS: Final = (0.05, 0.5)
_SAMPLE: Final = 40


@dataclass(slots=True)
class Figures:
    """What a campaign came to.

    Attributes:
        kills, early_kills: SIGKILLs, and those of them before the sidecar was ready.
        drains: SIGTERMs under load.
        acknowledged_requests, acknowledged_spans: promised to clients.
        stored_spans: rows in the lake at the end.
        unpromised_spans: those of them whose clients gave up without an answer.
        attempts, lost_answers, repeats: see `Ledger`.
        audits: comparisons of the folder with the ledger.
        torn_writes: starts that cut off a write which never finished.
        ready_seconds: from each start that was waited for until requests were taken, recovery included.
        drain_seconds: of each SIGTERM, the one at the end included.
        seconds: all of it.
        problems: every loss, double or deviation; none is good.
    """

    kills: int = 0
    early_kills: int = 0
    drains: int = 0
    acknowledged_requests: int = 0
    acknowledged_spans: int = 0
    stored_spans: int = 0
    unpromised_spans: int = 0
    attempts: int = 0
    lost_answers: int = 0
    repeats: int = 0
    audits: int = 0
    torn_writes: int = 0
    ready_seconds: list[float] = field(default_factory=list[float])
    drain_seconds: list[float] = field(default_factory=list[float])
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list[str])


class Campaign:
    """Kills one sidecar again and again. Use `run` once."""

    def __init__(self, folder: Path, *, seed: int, load_seconds: tuple[float, float], audit_every: int = 1) -> None:
        """Args: a kill comes `load_seconds` (from, to) after readiness; every `audit_every` kills there is an audit."""
        self.figures = Figures()
        self.ledger = Ledger()
        self._child = ChildSidecar(folder)
        self._rng = random.Random(seed)
        self._seed = seed
        self._load_seconds = load_seconds
        self._audit_every = audit_every

    def run(self, goes_on: Callable[[Figures], bool]) -> Figures:
        """Kill while `goes_on` says so and no problem was found; then drain, audit, and tell."""
        begin = time.monotonic()
        clients = start_clients(lambda: self._child.endpoints, self.ledger, seed=self._seed)
        try:
            while not self.figures.problems and goes_on(self.figures):
                self._round()
            if not self.figures.problems:
                self._end(clients)
        finally:
            for client in clients:
                client.abort()
            self._child.stop()
            for client in clients:
                client.join()
        self._tell(begin)
        return self.figures

    def _round(self) -> None:
        lot = self._rng.random()
        self._start()
        if lot < _EARLY_KILLS:
            self._child.linger(self._rng.random() * _START_SECONDS)
            self.figures.early_kills += 1
            self._kill()
            return
        self.figures.ready_seconds.append(self._child.wait_until_ready())
        time.sleep(self._rng.uniform(*self._load_seconds))
        if lot < _EARLY_KILLS + _DRAINS:
            self.figures.drains += 1
            self._drain()
        else:
            self._kill()

    def _kill(self) -> None:
        self._child.kill()
        self.figures.kills += 1
        if self.figures.kills % self._audit_every == 0 and self._is_made():
            self._audit(drained=False)

    def _drain(self) -> Audit:
        begin = time.monotonic()
        self._child.signal(signal.SIGTERM)
        code = self._child.wait()
        self.figures.drain_seconds.append(time.monotonic() - begin)
        if code != 0:
            self.figures.problems.append(f"the drain ended with code {code}")
        return self._audit(drained=True)

    def _end(self, clients: Sequence[Client]) -> None:
        """Let the clients have their last answers, look at traces through Jaeger, drain, audit."""
        self._start()
        self.figures.ready_seconds.append(self._child.wait_until_ready())
        for client in clients:
            client.finish()
        for client in clients:
            client.join()
        acknowledged, _ = self.ledger.promised()
        names = self._rng.sample(sorted(acknowledged), min(_SAMPLE, len(acknowledged)))
        sample = {name: acknowledged[name] for name in names}
        self.figures.problems += jaeger_problems(self._child.serving().jaeger, sample)
        result = self._drain()
        self.figures.stored_spans = result.stored
        self.figures.unpromised_spans = result.unpromised

    def _start(self) -> None:
        self._child.start(commit_seconds=self._rng.uniform(*_COMMIT_SECONDS))

    def _is_made(self) -> bool:
        """Whether the tables exist: the first start may have been killed before that."""
        return all((self._child.data / "lake" / name / "_delta_log").is_dir() for name in ("spans", "percentiles"))

    def _audit(self, *, drained: bool) -> Audit:
        result = audit(self._child.data, self.ledger, drained=drained)
        self.figures.audits += 1
        self.figures.problems += result.problems + self.ledger.failures
        return result

    def _tell(self, begin: float) -> None:
        acknowledged, _ = self.ledger.promised()
        figures = self.figures
        figures.acknowledged_requests = len(acknowledged)
        figures.acknowledged_spans = sum(len(spans) for spans in acknowledged.values())
        figures.attempts, figures.lost_answers = self.ledger.attempts, self.ledger.lost_answers
        figures.repeats = self.ledger.repeats
        log = self._child.log()
        figures.torn_writes = log.count("a write that never finished")
        if "Traceback" in log:
            figures.problems.append(f"a traceback in the sidecar's log:\n{log[log.index('Traceback') - 300 :][:3000]}")
        figures.seconds = time.monotonic() - begin
