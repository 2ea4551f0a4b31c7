"""Attribute values as JSON text and back, without loss.

JSON has no bytes, no NaN and one kind of number. Plain values stay plain, so that SQL reads them
(`resource->>'service.name'`); the rest is an object with one key that starts with `@`:

    bytes            {"@bytes": "<base64>"}
    NaN, ±Infinity   {"@double": "NaN" | "Infinity" | "-Infinity"}
    empty value      null
    a map whose key starts with "@" gets one more "@" in front of that key

Integers have no point, doubles always do (`1.0`), and json.loads keeps them apart.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Value: TypeAlias = "str | bool | int | float | bytes | list[Value] | dict[str, Value] | None"

_NON_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def dumps(value: Any) -> str:
    """One AnyValue (see `Value`; tuples and mappings are accepted) as compact JSON."""
    return _ENCODER.encode(_to_json(value))


def dumps_attributes(attributes: Mapping[str, Any]) -> str:
    """Attributes as a JSON object; their keys are never escaped, only those of maps inside values are."""
    return _ENCODER.encode({key: _to_json(value) for key, value in attributes.items()})


def loads(text: str) -> Value:
    """The inverse of `dumps`.

    Raises:
        ValueError: `text` is not JSON that `dumps` makes.
    """
    return _from_json(json.loads(text))


def loads_attributes(text: str) -> dict[str, Value]:
    """The inverse of `dumps_attributes`.

    Raises:
        ValueError: `text` is not a JSON object that `dumps_attributes` makes.
    """
    document = json.loads(text)
    if not isinstance(document, dict):
        raise ValueError(f"attributes are a JSON object, not {text[:40]!r}")  # noqa: TRY004 - bad text, not a bad call
    return {key: _from_json(value) for key, value in document.items()}


_PLAIN: Final = frozenset({str, bool, int, type(None)})
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, check_circular=False)


def _to_json(value: Any) -> Any:
    if type(value) in _PLAIN:  # nearly all are, and the table look-up is several times as fast as the patterns below
        return value
    match value:
        case str() | bool() | int():  # of a subclass
            return value
        case float():
            return value if math.isfinite(value) else {"@double": _name_of(value)}
        case bytes():
            return {"@bytes": base64.b64encode(value).decode()}
        case Mapping():
            return {("@" + key if key.startswith("@") else key): _to_json(item) for key, item in value.items()}
        case list() | tuple():
            return [_to_json(item) for item in value]
        case _:
            raise TypeError(f"an attribute value cannot be a {type(value).__name__}")


def _name_of(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def _from_json(value: Any) -> Value:
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]
    if len(value) == 1:
        ((key, item),) = value.items()
        if key == "@bytes":
            return base64.b64decode(item, validate=True)
        if key == "@double":
            return _NON_FINITE[item]
    return {key.removeprefix("@"): _from_json(item) for key, item in value.items()}
