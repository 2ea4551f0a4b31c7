"""What may stand next to a match. Regexes here have no look-around, so that every engine runs them alike.

Letters and digits are the ASCII ones: in scripts that write without spaces a number may touch the words around it.
"""

from __future__ import annotations

from typing import Final

DIGITS: Final = frozenset("0123456789")
WORD: Final = frozenset("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def at(text: str, position: int) -> str:
    """The character there; "" outside of the text."""
    return text[position] if 0 <= position < len(text) else ""


def is_word(text: str, start: int, end: int) -> bool:
    """Whether no letter or digit touches text[start:end]."""
    return at(text, start - 1) not in WORD and at(text, end) not in WORD


def is_number(text: str, start: int, end: int) -> bool:
    """`is_word`, and not a piece of a number with a point: `0.4111111111111111`, `4111111111111111.5`."""
    if not is_word(text, start, end):
        return False
    if at(text, start - 1) == "." and at(text, start - 2) in DIGITS:
        return False
    return not (at(text, end) == "." and at(text, end + 1) in DIGITS)


def stands_alone(text: str, start: int, end: int, joint: str) -> bool:
    """`is_number`, and no other group of digits hangs on by one more `joint`: it is not a piece of a longer one."""
    if not is_number(text, start, end):
        return False
    if at(text, start - 1) == joint and at(text, start - 2) in DIGITS:
        return False
    return not (at(text, end) == joint and at(text, end + 1) in DIGITS)
