"""The scan of one text. Cheap for clean text: a few substring searches say which patterns can match at all."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from spanward.processor.policy.privacy import patterns
from spanward.processor.policy.privacy.entities import Entity
from spanward.processor.policy.privacy.escapes import PLUSES, TYPOGRAPHY, Unescaped
from spanward.processor.policy.privacy.patterns import Pattern
from spanward.processor.policy.privacy.tokens import TOKEN

SHORTEST: Final = 5
"""No hit and no token is shorter (`<jwt>`); texts below are not looked at."""

_LAYERS: Final = 3
_SOME_DIGITS: Final = re.compile(r"[0-9](?:[ .()-]{0,2}[0-9]){3}")
_MANY_DIGITS: Final = re.compile(r"[0-9](?:[ .()-]{0,2}[0-9]){7}")
_SHORTEST_LONG: Final = 13  # of keys, JWTs, authorization headers and IBANs; "Basic " and 7 of base64
_DOTS: Final = 3  # of an IPv4 address
_MIN_COLONS: Final = 2


class Hit(NamedTuple):
    """One find.

    Attributes:
        entity: its type.
        start, end: where it is written in the text that was scanned.
        value: what is meant, escapes undone; of a hashed token its subject, of a plain one "".
        token: True when it is a token that stands for a value taken out earlier.
    """

    entity: Entity
    start: int
    end: int
    value: str
    token: bool


Hits = tuple[Hit, ...]
CLEAN: Final[Hits] = ()


def find(text: str) -> Hits:
    """Every hit and token in a text, in order of position; hits may overlap each other, never lie within a token."""
    if len(text) < SHORTEST:
        return CLEAN
    hits = _find(text)
    if "\\" in text or "%" in text or ("+" in text and "=" in text) or not text.isascii():
        hits = _find_in_layers(text, hits)
    return tuple(sorted(hits, key=lambda hit: (hit.start, -hit.end))) if hits else CLEAN


def _find(text: str) -> list[Hit]:
    """The hits in a text taken as it is written."""
    hits = [hit for pattern in _possible(text) for hit in _matches(pattern, text)]
    if "<" not in text:
        return hits
    tokens = list(_tokens(text))
    starts = [token.start for token in tokens]
    return tokens + [hit for hit in hits if not _is_inside(hit, tokens, starts)]


def _is_inside(hit: Hit, tokens: list[Hit], starts: list[int]) -> bool:
    """Whether a hit lies within a token; they are in order and apart, so only the last that starts before it can tell.

    A text may hold as many of both as it has room for: to compare each with each would take minutes.
    """
    before = bisect_right(starts, hit.start)
    return before > 0 and hit.end <= tokens[before - 1].end


def _find_in_layers(text: str, hits: list[Hit]) -> list[Hit]:
    r"""Hits in the text and in what it means, layer by layer of escapes.

    One that begins or ends inside an escape of a deeper layer is none: `nalice@x.com` in `\nalice@x.com`.
    """
    found = {hit: (hit.start, hit.end) for hit in hits}  # where each hit is in the innermost text so far
    layers: list[Unescaped] = []
    for layer in _layers(text):
        layers.append(layer)
        found = {
            hit: (layer.target_of(start), layer.target_of(end))
            for hit, (start, end) in found.items()
            if not layer.splits(start) and not layer.splits(end)
        }
        for hit in _find(layer.text):
            found.setdefault(_as_written(hit, layers), (hit.start, hit.end))
    return list(found)


def _layers(text: str) -> Iterator[Unescaped]:
    """What the text means, layer by layer; at last in plain characters, and with the spaces of a form.

    These are no escapes inside JSON, and so not looked for there.
    """
    inner = text
    for _ in range(_LAYERS):
        layer = Unescaped(inner)
        if not layer.changed:
            break
        inner = layer.text
        yield layer
    if not inner.isascii() and TYPOGRAPHY.search(inner):
        layer = Unescaped(inner, TYPOGRAPHY)
        inner = layer.text
        yield layer
    if "+" in inner and "=" in inner:
        layer = Unescaped(inner, PLUSES)
        if layer.changed:
            yield layer


def _as_written(hit: Hit, layers: list[Unescaped]) -> Hit:
    start, end = hit.start, hit.end
    for layer in reversed(layers):
        start, end = layer.source_of(start), layer.source_of(end)
    return hit._replace(start=start, end=end)


def _tokens(text: str) -> Iterator[Hit]:
    for match in TOKEN.finditer(text):
        yield Hit(Entity(match[1]), match.start(), match.end(), match[2] or "", token=True)


def _matches(pattern: Pattern, text: str) -> Iterator[Hit]:
    regex, group = pattern.regex, pattern.regex.groups
    match = regex.search(text)
    while match is not None:
        answer = pattern.check(text, match.start(group), match.end(group))
        if isinstance(answer, tuple):
            start, end = answer
            yield Hit(pattern.entity, start, end, text[start:end], token=False)
            answer = end
        match = regex.search(text, answer)


def _possible(text: str) -> list[Pattern]:
    """The patterns that can match, in the order of the table."""
    possible: list[Pattern] = []
    if ("=" in text or ":" in text) and _names_a_secret(text.lower()):
        possible += patterns.ASSIGNED
    if len(text) >= _SHORTEST_LONG:
        possible += _possible_keys(text)
    if "@" in text:
        possible += patterns.AT_SIGN
    if _SOME_DIGITS.search(text):
        possible += _possible_numbers(text)
    if text.count(":") >= _MIN_COLONS:
        possible += patterns.COLONS
    return possible


def _possible_keys(text: str) -> list[Pattern]:
    possible: list[Pattern] = []
    if _starts_a_key(text):
        possible += patterns.API_KEYS
    if "PRIVATE KEY" in text:
        possible += patterns.PRIVATE_KEY
    if "eyJ" in text:
        possible += patterns.JWT
    if " " in text and _names_a_scheme(text.lower()):
        possible += patterns.AUTHORIZATION
    return possible


def _possible_numbers(text: str) -> list[Pattern]:
    possible: list[Pattern] = []
    if len(text) >= _SHORTEST_LONG:
        possible += patterns.IBANS
    if _MANY_DIGITS.search(text):
        possible += patterns.DIGITS
        if "+" in text:
            possible += patterns.PLUS
    if text.count(".") >= _DOTS:
        possible += patterns.DOTS
    return possible


def _names_a_secret(text: str) -> bool:
    if "pwd" in text or "cookie" in text:
        return True
    return "pass" in text or "secret" in text or "token" in text or "key" in text or "authorization" in text


def _starts_a_key(text: str) -> bool:
    if "KIA" in text or "SIA" in text or "AIza" in text:
        return True
    if "_" in text and ("gh" in text or "pat_" in text or "k_" in text or "hf_" in text or "npm_" in text):
        return True
    return "-" in text and ("sk-" in text or "xox" in text or "glpat-" in text)


def _names_a_scheme(text: str) -> bool:
    return "bearer " in text or "basic " in text
