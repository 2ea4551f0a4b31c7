"""The labels every span carries: how far it may be shown, and for how long it is kept.

Both labels have an order, for a claim that comes with a span may raise its protection and never lower it.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class Classification(StrEnum):
    """The four classes, from the least to the most protected."""

    PUBLIC = "public"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    RESTRICTED = "restricted"

    @property
    def rank(self) -> int:
        """Position in the order of protection, 0 for PUBLIC."""
        return _RANKS[self]

    @classmethod
    def parse(cls, text: str) -> Classification:
        """Read a class in any letter case.

        Raises:
            ValueError: `text` names no class; the message lists those that exist.
        """
        try:
            return cls(text.strip().lower())
        except ValueError:
            known = ", ".join(cls)
            raise ValueError(f"classification {text!r} is not one of {known}") from None


_RANKS: Final = {label: rank for rank, label in enumerate(Classification)}


@dataclass(frozen=True, slots=True, order=False)
class Retention:
    """How long a span is kept, counted in days from the UTC day of its receipt.

    Attributes:
        days: whole days, at least 1; None keeps it for ever.
    """

    days: int | None

    def __post_init__(self) -> None:
        if self.days is not None and not 1 <= self.days <= _MAX_DAYS:
            raise ValueError(f"a retention of {self.days} days is not within 1..{_MAX_DAYS}; use 'permanent' to keep")

    @classmethod
    def parse(cls, text: str | int) -> Self:
        """Read `7d`, `7`, `P7D` or `permanent`.

        Raises:
            ValueError: `text` is none of these forms or out of range.
        """
        word = str(text).strip().lower()
        if word == _PERMANENT:
            return cls(None)
        match = _TERM.fullmatch(word)
        if match is None:
            raise ValueError(f"retention {text!r} is neither a number of days such as '30d' nor 'permanent'")
        return cls(int(match["days"]))

    def expires_on(self, received: dt.date) -> dt.date | None:
        """The first UTC day on which a span received on `received` must be gone; None for a permanent one."""
        return None if self.days is None else received + dt.timedelta(days=self.days)

    def __str__(self) -> str:
        return _PERMANENT if self.days is None else f"{self.days}d"


_PERMANENT: Final = "permanent"
_MAX_DAYS: Final = 36_500
_TERM: Final = re.compile(r"p?(?P<days>\d{1,6})(?:d| ?days?)?")

WEEK: Final = Retention(7)
MONTH: Final = Retention(30)
YEAR: Final = Retention(365)
SEVEN_YEARS: Final = Retention(2555)
PERMANENT: Final = Retention(None)

DEFAULT_CLASSIFICATION: Final = Classification.INTERNAL
DEFAULT_RETENTION: Final = MONTH
