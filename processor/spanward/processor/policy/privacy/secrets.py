"""Checks of matches that look like secrets. See `numbers` for the contract."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Final

from spanward.processor.policy.privacy.bounds import WORD, at
from spanward.processor.policy.privacy.numbers import Answer

_DIGIT: Final = re.compile(r"[0-9]")
_LETTER: Final = re.compile(r"[A-Za-z]")
_UPPER: Final = re.compile(r"[A-Z]")
_RUN: Final = re.compile(r"[A-Za-z0-9]{8,}")
_BOUND: Final = re.compile(r"[:@][A-Za-z_]+")  # a parameter in SQL
_MIN_RANDOM: Final = 6
_SCHEME_LENGTHS: Final = 6  # "bearer"
_MIN_TOKEN: Final = 8
_SURE_TOKEN: Final = 20
_END_OF_BLOCK: Final = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_NO_SECRETS: Final = frozenset({"true", "false", "null", "none", "undefined", "nil", "redacted"})


def whole_word(text: str, start: int, end: int) -> Answer:
    """Nothing but the end of the word: the regex has seen the beginning."""
    return (start, end) if at(text, end) not in WORD else end


def mixed_run(text: str, start: int, end: int) -> Answer:
    """Like `mixed_word`, but in letters of both cases or in one long run: `sk-learn-pipeline-2` is made of words."""
    body = text[start + 3 : end]
    if _UPPER.search(body) and body != body.upper() and _DIGIT.search(body):
        return start, end
    return (start, end) if any(_DIGIT.search(run) and _LETTER.search(run) for run in _RUN.findall(body)) else end


def mixed_word(text: str, start: int, end: int) -> Answer:
    """A word with letters and digits behind its prefix: a random key, not a name in words."""
    body = text[start + 3 : end]
    return (start, end) if _DIGIT.search(body) and _LETTER.search(body) else end


def private_key(text: str, start: int, end: int) -> Answer:
    """The block up to its END line, or the rest of the text when it was cut off before."""
    closing = _END_OF_BLOCK.search(text, end)
    return start, len(text) if closing is None else closing.end()


def authorization(text: str, start: int, end: int) -> Answer:
    """`Basic` with base64 of user:password, `Bearer` with something that is no word of a language."""
    scheme, _, token = text[start:end].partition(" ")
    token = token.strip(" ")
    random = bool(_DIGIT.search(token) and _LETTER.search(token)) or len(token) >= _SURE_TOKEN
    is_secret = _is_user_and_password(token) if scheme.lower() == "basic" else random and len(token) >= _MIN_TOKEN
    return (start, end) if is_secret else start + _SCHEME_LENGTHS


def _is_user_and_password(token: str) -> bool:
    body = token.rstrip("=.").replace("-", "+").replace("_", "/")
    try:
        decoded = base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (ValueError, binascii.Error):
        return False
    return b":" in decoded


def assigned(text: str, start: int, end: int) -> Answer:
    """A value behind `password=` or `"password": "`; not a placeholder, a call or a name of code."""
    value = text[start:end]
    if value.lower() in _NO_SECRETS or _BOUND.fullmatch(value) or not (_DIGIT.search(value) or _LETTER.search(value)):
        return end
    return end if value[0] in "<{$%" or at(text, end) in {"(", ")", "[", "]", "{"} else (start, end)


def assigned_random(text: str, start: int, end: int) -> Answer:
    """A value behind a name that also stands before harmless words, such as `token=`: letters and digits, and long."""
    value = text[start:end]
    is_random = len(value) >= _MIN_RANDOM and _DIGIT.search(value) is not None and _LETTER.search(value) is not None
    return assigned(text, start, end) if is_random and value[0] not in "/~." else end


def in_url(text: str, start: int, end: int) -> Answer:
    """User, password and host, from a URL's authority; a token in the password's place is none."""
    return (start, end) if at(text, end) not in {"<", ">"} else end
