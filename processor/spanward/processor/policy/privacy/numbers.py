"""Checks of matches that are made of digits: cards, social security numbers, IBANs, telephone numbers.

A check gets the text and the bounds of a match, and answers with the bounds of the hit, or with the position from which
the search goes on. That position is always behind `start`, and no check looks further than a bounded number of
characters, so that a scan stays linear in the length of the text.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from spanward.processor.policy.privacy import checks
from spanward.processor.policy.privacy.bounds import DIGITS, WORD, at, is_number, stands_alone

Answer: TypeAlias = tuple[int, int] | int
"""(start, end) of a hit, or where to search on."""

_GROUP: Final = re.compile(r"[0-9]+")
_CARD_SHAPES: Final = frozenset({(4, 6, 5), (4, 6, 4), (8, 8)})
_QUAD: Final = 4

_MIN_INTERNATIONAL: Final = 8
_NO_AREAS: Final = frozenset({"200", "300", "400"})  # round numbers and HTTP statuses, never given out
_FIXED_LENGTHS: Final = {"1": 11, "7": 11}  # country codes whose numbers all have this many digits


def card(text: str, start: int, end: int) -> Answer:
    """A card written together, in fours, 4-6-5, 4-6-4 or 8-8; of a match that is too long, its first groups."""
    groups = [(start + m.start(), start + m.end()) for m in _GROUP.finditer(text[start:end])]
    for last in range(len(groups), 0, -1):
        stop = groups[last - 1][1]
        digits = "".join(text[begin:until] for begin, until in groups[:last])
        if _is_card_shape(groups[:last]) and is_number(text, start, stop) and checks.card(digits):
            return start, stop
    return _end_of_digits(text, groups[0][1])


def _end_of_digits(text: str, position: int) -> int:
    run = _GROUP.match(text, position)
    return run.end() if run else position


def _is_card_shape(groups: list[tuple[int, int]]) -> bool:
    sizes = tuple(stop - begin for begin, stop in groups)
    if len(sizes) == 1 or sizes in _CARD_SHAPES:
        return True
    return all(size == _QUAD for size in sizes[:-1]) and sizes[-1] <= _QUAD


def us_ssn(text: str, start: int, end: int) -> Answer:
    """Three, two and four digits with one separator, in the ranges that are given out."""
    digits = text[start : start + 3] + text[start + 4 : start + 6] + text[start + 7 : end]
    if stands_alone(text, start, end, text[start + 3]) and checks.us_ssn(digits):
        return start, end
    return start + 1


def iban(text: str, start: int, end: int) -> Answer:
    """As many letters and digits as the country's IBANs have, single spaces between them, with right check digits."""
    del end
    length = checks.iban_length(text[start : start + 2])
    if length is None or at(text, start - 1) in WORD:
        return start + 1
    compact: list[str] = []
    position = start
    while len(compact) < length:
        character = at(text, position)
        if character in WORD:
            compact.append(character)
        elif character != " " or at(text, position + 1) not in WORD:
            return start + 1
        position += 1
    if at(text, position) in WORD or not checks.iban("".join(compact)):
        return start + 1
    return start, position


def international(text: str, start: int, end: int) -> Answer:
    """`+`, country code and number; cut at a group's end when more digits follow than a number has."""
    if at(text, start - 1) in WORD:
        return start + 1
    groups = [(start + m.start(), start + m.end()) for m in _GROUP.finditer(text[start:end])]
    while groups:
        digits = "".join(text[begin:stop] for begin, stop in groups)
        stop = groups[-1][1]
        wanted = _FIXED_LENGTHS.get(digits[0])
        if len(digits) < _MIN_INTERNATIONAL:
            break
        if (wanted is None or len(digits) == wanted) and _ends_number(text, stop):
            return start, stop
        groups.pop()
    return start + 1


def national(text: str, start: int, end: int) -> Answer:
    """A North American number with its separators and, if it is there, the leading 1; not a piece of a longer one."""
    joints = {text[end - 5], "."}
    if not _ends_number(text, end) or (at(text, end) in joints and at(text, end + 1) in DIGITS):
        return start + 1
    if text[start] == "(":
        return start, end
    if text[end - 5] == " " == text[end - 9] and not _is_assignable(text[end - 12 : end]):
        return start + 1
    before = at(text, start - 1)
    if before in WORD or (before in joints and at(text, start - 2) in DIGITS):
        return start + 1
    return start, end


def _is_assignable(number: str) -> bool:
    """Whether spaced groups can be a number: three columns of a table are not, unless they fit the number plan."""
    return number[:3] not in _NO_AREAS and number[4] not in "01"


def pairs(text: str, start: int, end: int) -> Answer:
    """Five pairs of digits behind a trunk 0, all with one separator."""
    joint = text[start + 2]
    if all(text[position] == joint for position in range(start + 2, end, 3)) and stands_alone(text, start, end, joint):
        return start, end
    return start + 1


def _ends_number(text: str, end: int) -> bool:
    return at(text, end) not in WORD or _is_extension(text, end)


def _is_extension(text: str, end: int) -> bool:
    return at(text, end) in {"x", "X"} and at(text, end + 1) in DIGITS
