"""The pieces of OTLP/JSON: ids, numbers, attributes. Each reader refuses one span, never the request."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from spanward.processor.governance.limits import INT64_MAX, INT64_MIN, RefusedError, check_count
from spanward.processor.policy.span import Attributes, AttributeValue

_DECIMAL: Final = re.compile(r"-?[0-9]{1,20}")
_HEX: Final = re.compile(r"[0-9a-fA-F]*")
_NON_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_WORDS: Final[Mapping[type, str]] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    int: "a number",
    float: "a number",
}
_TO_STANDARD_BASE64: Final = str.maketrans("-_", "+/")


def kind_of(value: object) -> str:
    """What a JSON value is, in words; the value itself never goes into an error line."""
    return _WORDS.get(type(value), "null")


def mapping(value: object, name: str) -> Mapping[str, Any]:
    """A JSON object; absent and null are an empty one.

    Raises:
        RefusedError: it is something else.
    """
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise RefusedError(f"{name} is {kind_of(value)}, not an object")


def sequence(value: object, name: str) -> Sequence[Any]:
    """A JSON array; absent and null are an empty one.

    Raises:
        RefusedError: it is something else.
    """
    if value is None:
        return ()
    if isinstance(value, list):
        return value
    raise RefusedError(f"{name} is {kind_of(value)}, not an array")


def text(value: object, name: str) -> str:
    """A string; absent and null are "".

    Raises:
        RefusedError: it is something else.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raise RefusedError(f"{name} is {kind_of(value)}, not a string")


def integer(value: object, name: str, low: int, high: int) -> int:
    """A whole number, written as a number or as decimal digits in a string; absent and null are 0.

    Raises:
        RefusedError: it is something else or out of range.
    """
    match value:
        case None:
            return 0
        case bool():
            number = None
        case int():
            number = value
        case float():
            number = int(value) if value.is_integer() else None
        case str():
            number = int(value) if _DECIMAL.fullmatch(value) else None
        case _:
            number = None
    if number is None:
        raise RefusedError(f"{name} is not a whole number")
    if not low <= number <= high:
        raise RefusedError(f"{name} is not within {low}..{high}")
    return number


def enum(value: object, name: str, low: int, high: int) -> int:
    """An enum value, which OTLP/JSON writes as its number and never as its name.

    Raises:
        RefusedError: it is something else.
    """
    if isinstance(value, str):
        raise RefusedError(f"{name} is a string; OTLP/JSON writes enum values as integers")
    return integer(value, name, low, high)


def identifier(value: object, name: str) -> str:
    """An id in lowercase hex, of any length; absent and null are "".

    Raises:
        RefusedError: it is not hex.
    """
    word = text(value, name)
    if len(word) % 2 or not _HEX.fullmatch(word):
        raise RefusedError(f"{name} is not hexadecimal; OTLP/JSON writes ids in hex, not in base64")
    return word.lower()


def attributes(value: object, name: str, limit: int, nesting: int) -> Attributes:
    """A list of KeyValue; of duplicate keys the last wins.

    Raises:
        RefusedError: it is malformed, too long, or too deep.
    """
    pairs = sequence(value, name)
    check_count(len(pairs), limit, "attributes")
    return _pairs(pairs, nesting)


def _pairs(pairs: Sequence[Any], room: int) -> Attributes:
    found: Attributes = {}
    for item in pairs:
        pair = mapping(item, "an attribute")
        found[text(pair.get("key"), "an attribute's key")] = _any_value(pair.get("value"), room)
    return found


def _any_value(value: object, room: int) -> AttributeValue:
    """One AnyValue; should several of its kinds be set, the last wins, as on the protobuf wire."""
    found: AttributeValue = None
    for kind, item in mapping(value, "an attribute's value").items():
        if item is not None:
            found = _one_value(kind, item, room, found)
    return found


def _one_value(kind: str, item: object, room: int, otherwise: AttributeValue) -> AttributeValue:
    reader = _PLAIN.get(kind)
    if reader is not None:
        return reader(item)
    if kind not in _NESTED:  # a field of a later version
        return otherwise
    if room == 0:
        raise RefusedError("an attribute is nested too deeply")
    values = sequence(mapping(item, kind).get("values"), kind)
    return [_any_value(one, room - 1) for one in values] if kind == "arrayValue" else _pairs(values, room - 1)


def _boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise RefusedError(f"boolValue is {kind_of(value)}, not a boolean")


def _double(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RefusedError(f"doubleValue is {kind_of(value)}, not a number")
    if isinstance(value, str) and value in _NON_FINITE:
        return _NON_FINITE[value]
    try:
        number = float(value)
    except ValueError:
        raise RefusedError("doubleValue is a string that is no number") from None
    if not math.isfinite(number):
        raise RefusedError("doubleValue is beyond the range of a double")
    return number


def _octets(value: object) -> bytes:
    """Base64 in the standard or the URL alphabet, padded or not."""
    word = text(value, "bytesValue").translate(_TO_STANDARD_BASE64).rstrip("=")
    try:
        return base64.b64decode(word + "=" * (-len(word) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError("bytesValue is not base64") from None


_PLAIN: Final[Mapping[str, Callable[[object], AttributeValue]]] = {
    "stringValue": partial(text, name="stringValue"),
    "intValue": partial(integer, name="intValue", low=INT64_MIN, high=INT64_MAX),
    "boolValue": _boolean,
    "doubleValue": _double,
    "bytesValue": _octets,
}
_NESTED: Final = frozenset({"arrayValue", "kvlistValue"})
