"""Time as something that is handed in, so that tests decide what day it is."""

from __future__ import annotations

import datetime as dt
import time
from typing import Protocol


class Clock(Protocol):
    """Where the product gets the time."""

    def now_ns(self) -> int:
        """Wall clock, nanoseconds since the Unix epoch."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, from an arbitrary origin."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Wall clock, nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to move; for tests and simulations."""

    def __init__(self, now_ns: int = 1_767_225_600_000_000_000) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The time it was set to."""
        return self._now_ns

    def monotonic(self) -> float:
        """The same time in seconds."""
        return self._now_ns / 1e9

    def advance(self, *, days: float = 0, seconds: float = 0) -> None:
        """Move forward (or back, with negative numbers)."""
        self._now_ns += int((days * 86_400 + seconds) * 1e9)


def utc_date(now_ns: int) -> dt.date:
    """The UTC day of a Unix time in nanoseconds."""
    return dt.datetime.fromtimestamp(now_ns // 1_000_000_000, tz=dt.UTC).date()
