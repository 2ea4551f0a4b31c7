"""The keys that identifying values are hashed with."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, slots=True)
class HashKey:
    """A secret under which identifying values are hashed, so that equal values meet and none can be guessed.

    Attributes:
        id: short name that stands in every token and subject made with it, such as "k1": letters, digits, `_` and `-`,
            at most 32.
        secret: at least 32 random bytes; kept out of `repr`, for keys end up in log lines otherwise.
    """

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if _ID.fullmatch(self.id) is None:
            raise ValueError(f"hash key id {self.id!r} is not 1..32 letters, digits, '_' or '-'")
