"""When does a stored attribute value equal the one that is searched for?

A search box yields strings only, so that a string stands for whatever is written that way: `200` finds the integer,
`0.10` the double 0.1, `true` the boolean, `["a", 1]` the array. A value of another type finds values of its own type
only.
"""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from spanward.store.values import dumps, loads, loads_attributes

_INT: Final = re.compile(r"0|-?[1-9]\d{0,18}")
_DOUBLE: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:Inf|Infinity)|NaN")
_INT64_MIN: Final = -(1 << 63)
_INT64_MAX: Final = (1 << 63) - 1


class Wanted:
    """A searched value, prepared for each type a stored value can have.

    Attributes:
        text: equals strings, or None when no string can match; so do the others for their types.
        integer, double, boolean: as above; `double` may be NaN, which here equals NaN.
    """

    __slots__ = ("_json", "_shown", "boolean", "double", "integer", "text")

    def __init__(self, value: Any) -> None:
        is_text = isinstance(value, str)
        self.text: str | None = value if is_text else None
        self.boolean: bool | None = {"true": True, "false": False}.get(value) if is_text else _if(bool, value)
        self.integer: int | None = _parse_int(value) if is_text else _if_int64(value)
        self.double: float | None = _parse_double(value) if is_text else _if(float, value)
        self._json = None if is_text else _canonical(value)
        self._shown = _parse_shown(value) if is_text else None

    def equals(self, value: Any) -> bool:
        """Whether a stored value, as `spanward.store.values.loads` returns it, is the one."""
        match value:
            case str():
                return value == self.text
            case bool():
                return value is self.boolean
            case int():
                return value == self.integer
            case float():
                return self.double is not None and _same_double(value, self.double)
            case _:
                return _canonical(value) == self._json if self.text is None else self._is_written(value)

    def _is_written(self, value: Any) -> bool:
        return _written(value) == self.text or (self._shown is not None and _shown(value) == self._shown)

    def equals_json(self, text: str) -> bool:
        """The same for a value still in its JSON form."""
        return self.equals(loads(text))

    def is_in(self, attributes: str, key: str) -> bool:
        """Whether the JSON object `attributes` has the value under `key`."""
        found = loads_attributes(attributes)
        return key in found and self.equals(found[key])


def _if(kind: type, value: Any) -> Any:
    return value if isinstance(value, kind) else None


def _if_int64(value: Any) -> int | None:
    plain = isinstance(value, int) and not isinstance(value, bool)
    return value if plain and _INT64_MIN <= value <= _INT64_MAX else None


def _parse_int(text: str) -> int | None:
    return _if_int64(int(text)) if _INT.fullmatch(text) else None


def _parse_double(text: str) -> float | None:
    return float(text) if _DOUBLE.fullmatch(text) else None


def _same_double(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def _canonical(value: Any) -> str:
    return json.dumps(json.loads(dumps(value)), sort_keys=True)


def _parse_shown(text: str) -> str | None:
    """An array or a map in any spelling of JSON, in the form of `_shown`; None for any other text."""
    if not text.startswith(("[", "{")):
        return None
    try:
        return _shown(json.loads(text))
    except (ValueError, RecursionError):  # not JSON, or nested deeper than any attribute can be
        return None


def _shown(value: Any) -> str:
    """An array or a map as JSON that is the same for every spelling a reader may choose.

    Jaeger escapes `<` and `&`, writes 1.0 as 1 and bytes in base64.
    """
    return json.dumps(_plain(value), sort_keys=True)


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return base64.b64encode(value).decode()
        case float() if value.is_integer():
            return int(value)
        case Mapping():
            return {key: _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def _written(value: Any) -> str:
    """How a value that is not of a plain type looks as text: bytes in base64, the empty value as "", else JSON."""
    match value:
        case None:
            return ""
        case bytes():
            return base64.b64encode(value).decode()
        case Mapping() | list() | tuple():
            return dumps(value)
        case _:
            raise TypeError(f"an attribute value cannot be a {type(value).__name__}")
