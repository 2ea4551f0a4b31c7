r"""Text inside text: undoing JSON's and the URL's escapes while remembering where each character came from.

A prompt in a JSON string says `\nalice@example.com`, a query `q=alice%40example.com`: the regexes look at what is
meant, and the redaction cuts where it is written, always a whole escape, so that JSON stays JSON.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from spanward.processor.policy.privacy.bounds import WORD

ESCAPES: Final = re.compile(r"""\\(?:["'\\/bfnrt]|u[0-9a-fA-F]{4})|%[0-7][0-9a-fA-F]""")
"""JSON's escapes, and the URL's for ASCII."""

PLUSES: Final = re.compile(r"([0-9A-Za-z)])\+")
"""A `+` in a form's encoding, where it is a space; what follows is looked at too."""

TYPOGRAPHY: Final = re.compile("[\u00a0\u2007\u2009\u202f\u2010-\u2015\u2212\uff0b\uff0d\uff0e\uff10-\uff1a\uff20]")
"""Spaces that do not break, dashes, and the full-width forms of what numbers and addresses are made of."""

_FULL_WIDTH: Final = 0xFEE0  # how far a full-width form is from its ASCII character
_SPACES: Final = frozenset("\u00a0\u2007\u2009\u202f")
_JSON: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Unescaped:
    """A text with one layer of escapes undone.

    Args:
        source: what is written.
        escapes: `ESCAPES`; or `TYPOGRAPHY`; or `PLUSES`, which makes a space of each `+` between letters, digits, `)`
            and `(`, `+`.

    Attributes:
        text: what is meant.
    """

    __slots__ = ("_froms", "_length", "_tos", "text")

    def __init__(self, source: str, escapes: re.Pattern[str] = ESCAPES) -> None:
        parts: list[str] = []
        self._froms = [0]  # starts of stretches that map one to one, in the source ...
        self._tos = [0]  # ... and in `text`
        position = length = 0
        for match in escapes.finditer(source):
            meant, start = _meaning(match, source)
            if meant is None:
                continue
            parts += (source[position:start], meant)
            length += start - position
            self._mark(start, length)
            position, length = match.end(), length + 1
            self._mark(position, length)
        parts.append(source[position:])
        self.text = "".join(parts)
        self._length = len(source)

    def _mark(self, source: int, text: int) -> None:
        if self._froms[-1] != source:
            self._froms.append(source)
            self._tos.append(text)

    @property
    def changed(self) -> bool:
        """Whether there was anything to undo."""
        return len(self.text) != self._length or len(self._froms) > 1

    def source_of(self, position: int) -> int:
        """Where in the source the character at `position` of `text` begins."""
        index = bisect_right(self._tos, position) - 1
        return min(self._froms[index] + position - self._tos[index], self._length)

    def target_of(self, position: int) -> int:
        """Where in `text` the character that begins at `position` of the source is."""
        index = bisect_right(self._froms, position) - 1
        return self._tos[index] + position - self._froms[index]

    def splits(self, position: int) -> bool:
        """Whether a cut at `position` of the source would go through an escape."""
        index = bisect_right(self._froms, position) - 1
        if index + 1 >= len(self._tos):
            return False
        return self._tos[index] + position - self._froms[index] >= self._tos[index + 1]


def _meaning(match: re.Match[str], source: str) -> tuple[str | None, int]:
    """The character an escape stands for (None: leave it as it is), and where the escape starts."""
    word = match[0]
    if word[0] == "%":
        return chr(int(word.removeprefix("%"), 16)), match.start()
    if word[0] == "\\":
        return (
            chr(int(word.removeprefix(r"\u"), 16)) if word[1] == "u" else _JSON.get(word[1], word[1])
        ), match.start()
    if word[-1] != "+":
        return _plain(word), match.start()
    follower = source[match.end() : match.end() + 1]
    return (" " if follower in WORD or follower in {"(", "+"} else None), match.end() - 1


def _plain(character: str) -> str:
    """The ASCII character that a typographic one is read as."""
    if character in _SPACES:
        return " "
    return chr(ord(character) - _FULL_WIDTH) if ord(character) > _FULL_WIDTH else "-"
