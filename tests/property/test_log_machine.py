"""The intake log against a model, through crashes, bit flips, refusing disks, truncation and reopening."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from spanward.store._segment import HEADER_BLOCK_BYTES, HEADER_BYTES, HEADER_COPY
from spanward.store.clock import ManualClock
from spanward.store.errors import RetryableError
from spanward.store.keyring import Keyring
from spanward.store.log import IntakeLog, LogReader

SEGMENT_BYTES = HEADER_BYTES + 600
PAYLOADS = st.binary(max_size=200)


class LogMachine(RuleBasedStateMachine):
    """`records` is what was acknowledged and not removed since, `flips` what we changed in the files."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="log-machine-"))
        self.folder = self.root / "log"
        self.keyring = Keyring.open(self.root / "keys")
        self.records: dict[int, bytes] = {}
        self.places: dict[int, tuple[Path, int, int]] = {}
        self.flips: dict[tuple[Path, int], int] = {}
        self.highest = 0

    def teardown(self) -> None:
        """Leave nothing behind."""
        self.log.close()
        shutil.rmtree(self.root)

    @initialize()
    def begin(self) -> None:
        """An empty folder."""
        self.open()

    def open(self) -> None:
        """What a start does."""
        self.log = IntakeLog.open(self.folder, self.keyring, segment_bytes=SEGMENT_BYTES, clock=ManualClock())

    def expected(self) -> list[tuple[int, bytes]]:
        """What must be read back."""
        lost = self.lost
        return [(number, payload) for number, payload in self.records.items() if number not in lost]

    @rule(payload=PAYLOADS)
    def append(self, payload: bytes) -> None:
        """An acknowledged record has a number that was never used before."""
        sequence = self.log.append(payload)
        assert sequence > self.highest
        active = self.log._chain._active
        assert active is not None
        self.highest = sequence
        self.records[sequence] = payload
        self.places[sequence] = (active.path, self.log_end - self.record_size(payload), self.log_end)

    @property
    def log_end(self) -> int:
        """Where the newest record ends."""
        assert self.log._chain._active is not None
        return self.log._chain._active.size

    @staticmethod
    def record_size(payload: bytes) -> int:
        """Bytes that a record takes."""
        return len(payload) + 60

    @rule()
    def reopen(self) -> None:
        """An orderly restart."""
        self.log.close()
        self.open()

    @rule(payload=PAYLOADS, kept=st.floats(0, 1, exclude_max=True))
    def crash_while_writing(self, payload: bytes, kept: float) -> None:
        """The process dies with any part of a record in the file: the record is not there, and nothing else is lost."""
        self.log.append(payload)
        active = self.log._chain._active
        assert active is not None
        size = self.record_size(payload)
        self.log.close()
        os.truncate(active.path, active.size - size + int(kept * size))
        self.open()
        assert (self.log.torn is not None) == (int(kept * size) > 0)

    @rule(payload=PAYLOADS, call=st.sampled_from(["fsync", "write"]))
    def disk_refuses(self, payload: bytes, call: str) -> None:
        """A refused append leaves nothing behind, and the log goes on."""
        with (
            mock.patch.object(os, call, side_effect=OSError(28, "No space left on device")),
            pytest.raises(RetryableError),
        ):
            self.log.append(payload)

    @rule(back=st.integers(0, 12))
    def truncate(self, back: int) -> None:
        """Only what is committed goes, and at least what was promised."""
        committed = max(0, self.highest - back)
        promised = self.log.reclaimable(committed)
        before = self.log.size_bytes
        self.log.truncate(committed)
        assert promised.through <= committed
        assert before - self.log.size_bytes >= promised.record_bytes - HEADER_BYTES
        left = {path for path in self.folder.iterdir() if path.suffix == ".log"}
        gone = {number for number in self.records if self.places[number][0] not in left}
        assert all(number <= committed for number in gone - self.lost)
        for number in gone:
            del self.records[number]

    @rule(
        which=st.integers(0, 10_000),
        position=st.floats(0, 1, exclude_max=True),
        mask=st.integers(1, 255),
        in_records=st.booleans(),
    )
    def flip_bits(self, which: int, position: float, mask: int, in_records: bool) -> None:
        """A byte goes bad on the disk: only the record it is in is lost, and opening the log reports it."""
        self.log.close()
        segments = sorted(self.folder.glob("*.log"))
        if segments:
            path = segments[which % len(segments)]
            size = path.stat().st_size
            start = HEADER_BYTES if in_records and size > HEADER_BYTES else 0
            self.flip(path, start + int(position * (size - start)), mask)
        self.open()
        if self.lost:
            assert self.log.damage()

    def flip(self, path: Path, offset: int, mask: int) -> None:
        """Change one byte, and note what it destroys."""
        content = bytearray(path.read_bytes())
        content[offset] ^= mask
        path.write_bytes(content)
        self.flips[path, offset] = self.flips.get((path, offset), 0) ^ mask

    @property
    def lost(self) -> set[int]:
        """Records that a change destroys, as long as it is not undone by another one."""
        bad = {place for place, mask in self.flips.items() if mask}
        copies = {(path, copy) for path, at in bad for copy in (0, HEADER_COPY) if 0 <= at - copy < HEADER_BLOCK_BYTES}
        return {
            number
            for number in self.records
            for path, start, end in [self.places[number]]
            if {(path, 0), (path, HEADER_COPY)} <= copies or any(path == file and start <= at < end for file, at in bad)
        }

    @invariant()
    def reads_what_was_acknowledged(self) -> None:
        """Both kinds of reader give exactly what must be there, from anywhere on."""
        if hasattr(self, "log"):
            assert list(self.log.reader().records(0)) == self.expected()
            assert list(LogReader.open(self.folder, self.keyring).records(0)) == self.expected()
            middle = self.highest // 2
            assert list(self.log.reader().records(middle)) == [item for item in self.expected() if item[0] > middle]

    @invariant()
    def remembers_the_sequence(self) -> None:
        """The last sequence is never below a record that can be read."""
        if hasattr(self, "log"):
            assert self.log.last_sequence >= max((number for number, _ in self.expected()), default=0)


LogMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLogMachine = LogMachine.TestCase
