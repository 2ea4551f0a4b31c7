"""A keyring, a clock and a log folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spanward.store.clock import ManualClock
from spanward.store.keyring import Keyring
from spanward.store.log import DEFAULT_SEGMENT_BYTES, IntakeLog

OpenLog = Callable[..., IntakeLog]


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "keys")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "intake" / "traces"


@pytest.fixture
def open_log(folder: Path, keyring: Keyring, clock: ManualClock) -> Iterator[OpenLog]:
    """Opens the log; whatever is still open at the end is closed."""
    logs: list[IntakeLog] = []

    def open_it(where: Path | None = None, *, segment_bytes: int = DEFAULT_SEGMENT_BYTES) -> IntakeLog:
        log = IntakeLog.open(where or folder, keyring, segment_bytes=segment_bytes, clock=clock)
        logs.append(log)
        return log

    yield open_it
    for log in logs:
        log.close()
