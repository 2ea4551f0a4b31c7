"""The dedup window against a model that never forgets early."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from spanward.store.clock import ManualClock
from spanward.store.dedup import DedupWindow
from spanward.store.records import Answer

SECONDS = 100
KEYS = st.sampled_from("abcdefgh")


class DedupMachine(RuleBasedStateMachine):
    """`model`: key -> (answer, sequence of its record), over a log that truncation and restarts act on."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.model: dict[str, tuple[Answer, int]] = {}
        self.log: dict[int, list[Answer]] = {}
        self.next = 1
        self.window = self.fresh()

    def fresh(self) -> DedupWindow:
        """An empty window."""
        return DedupWindow(seconds=SECONDS, max_entries=1000, clock=self.clock)

    def write(self, answers: list[Answer]) -> int:
        """Put answers into a record."""
        self.log[self.next] = answers
        self.next += 1
        return self.next - 1

    @rule(key=KEYS, rejected=st.integers(0, 3))
    def request(self, key: str, rejected: int) -> None:
        """A request comes: a live key gives the first answer, any other is new."""
        known = self.model.get(key)
        found = self.window.find(key)
        if known is not None and self.is_live(known[0]):
            assert found == known[0]
            return
        assert found is None
        answer = Answer(key, self.clock.now_ns(), rejected)
        sequence = self.write([answer])
        self.window.add([answer], sequence)
        self.model[key] = (answer, sequence)

    @rule(seconds=st.floats(0, SECONDS))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.clock.advance(seconds=seconds)

    @rule(back=st.integers(0, 5))
    def truncate(self, back: int) -> None:
        """Old records go, what lives in them is carried over first."""
        through = self.next - 1 - back
        carried = self.window.held_only_by(through)
        if carried:
            sequence = self.write(carried)
            self.window.add(carried, sequence)
            for answer in carried:
                self.model[answer.dedup_key] = (answer, sequence)
        self.log = {sequence: answers for sequence, answers in self.log.items() if sequence > through}

    @rule()
    def restart(self) -> None:
        """The window is rebuilt from the log alone."""
        self.window = self.fresh()
        for sequence, answers in self.log.items():
            self.window.add(answers, sequence)

    def is_live(self, answer: Answer) -> bool:
        """Whether the answer is within the window."""
        return answer.received_at_ns > self.clock.now_ns() - SECONDS * 1_000_000_000

    @invariant()
    def every_live_answer_is_found_and_in_the_log(self) -> None:
        """Nothing that lives is forgotten, by memory or by the log."""
        logged = {answer.dedup_key for answers in self.log.values() for answer in answers}
        for key, (answer, _) in self.model.items():
            if self.is_live(answer):
                assert self.window.find(key) == answer
                assert key in logged


DedupMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestDedupMachine = DedupMachine.TestCase
