"""Python values as attribute text: JSON that is bounded in size and never fails.

What is recorded of arguments and results goes into a string attribute, which the policy scans for personal data. Its
rules on keys see only attribute names, so a member whose own name says that it is a credential is withheld here.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from typing import Any, Final

MOST_CHARACTERS: Final = 8192
"""Longer text is cut."""
_MOST_ITEMS: Final = 100
_MOST_DEPTH: Final = 8
_MOST_REPR: Final = 200
_CUT_MARGIN: Final = 256
_WITHHELD: Final = "<credential>"
_CUT: Final = "…"
_CREDENTIAL: Final = re.compile(
    r"(?:^|[._\-\s])(?:authorization|passwd|password|passphrase|secret|token|credentials?|cookie|set[._-]?cookie"
    r"|api[._-]?key|apikey|private[._-]?key|access[._-]?key|client[._-]?secret)(?:$|[._\-\s])",
    re.IGNORECASE,
)


def to_text(value: Any) -> str:
    """A value as text: a string as it is, anything else as compact JSON; at most `MOST_CHARACTERS` characters."""
    text = value if isinstance(value, str) else json.dumps(_plain(value, 0), ensure_ascii=False, separators=(",", ":"))
    return shorten(_well_formed(text))


def _well_formed(text: str) -> str:
    """Without lone surrogates, which no OTLP encoder takes."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def shorten(text: str, limit: int = MOST_CHARACTERS) -> str:
    """Cut text that is too long, and never in the middle of what the policy must recognise.

    Half an email address is still half somebody's address, and no detector knows it. So the cut falls on a delimiter
    that is part of no identifier; where there is none nearby, a whole margin goes.
    """
    if len(text) <= limit:
        return text
    head = text[: limit - len(_CUT)]
    delimiter = max(head.rfind(mark) for mark in '",;\n')
    return head[: max(delimiter, len(head) - _CUT_MARGIN, 0)] + _CUT


def is_credential_name(name: str) -> bool:
    """Whether a member of this name holds a credential (`password`, `api_key`, ...; not `input_tokens`)."""
    return _CREDENTIAL.search(name) is not None


def to_attribute(value: Any) -> str | bool | int | float | list[str] | list[bool] | list[int] | list[float]:
    """A value as a span attribute: scalars and sequences of one kind of scalar stay, the rest becomes text."""
    if isinstance(value, bool | int | float | str):
        return to_text(value) if isinstance(value, str) else value
    if isinstance(value, list | tuple) and value:
        kinds = {type(item) for item in value}
        if kinds == {str}:
            return [to_text(item) for item in value]
        if len(kinds) == 1 and kinds <= {bool, int, float}:
            return list(value)
    return to_text(value)


def _plain(value: Any, depth: int) -> Any:
    """What json.dumps takes, for any object whatever."""
    if value is None or isinstance(value, bool | int | str | float):
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if depth >= _MOST_DEPTH:
        return _CUT
    if isinstance(value, Mapping):
        return _mapping(value.items(), depth)
    if isinstance(value, Sequence | AbstractSet):
        return _sequence(value, depth)
    return _object(value, depth)


def _mapping(pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
    described: dict[str, Any] = {}
    for key, item in islice(pairs, _MOST_ITEMS):
        name = str(key)
        described[name] = _WITHHELD if is_credential_name(name) else _plain(item, depth + 1)
    return described


def _sequence(items: Iterable[Any], depth: int) -> list[Any]:
    return [_plain(item, depth + 1) for item in islice(items, _MOST_ITEMS)]


def _object(value: Any, depth: int) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _mapping(((field.name, getattr(value, field.name)) for field in dataclasses.fields(value)), depth)
    fields = getattr(type(value), "model_fields", None)
    if isinstance(fields, Mapping):  # a pydantic model, without importing pydantic for it
        return _mapping(((name, getattr(value, name, None)) for name in fields), depth)
    try:
        return shorten(repr(value), _MOST_REPR)
    except Exception:  # noqa: BLE001 - the host's __repr__ may raise anything, and that is not the span's trouble
        return f"<{type(value).__qualname__}>"
