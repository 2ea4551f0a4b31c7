"""Python values into OTLP's AnyValue and KeyValue messages, in place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

_INT64_MIN: Final = -(1 << 63)
_INT64_MAX: Final = (1 << 63) - 1


def add_attribute(target: Any, key: str, value: Any) -> None:
    """Append an attribute to `target`, a repeated KeyValue field; see `fill` for what `value` may be."""
    attribute: KeyValue = target.add()
    attribute.key = key
    fill(attribute.value, value)


def add_attributes(target: Any, attributes: Mapping[str, Any]) -> None:
    """Append all attributes of a mapping."""
    for key, value in attributes.items():
        add_attribute(target, key, value)


def fill(message: AnyValue, value: Any) -> None:
    """Set an AnyValue to what `spanward.store.values.loads` returned; None makes the empty value.

    An integer beyond 64 bits, which OTLP has no place for, becomes its digits.
    """
    match value:
        case str():
            message.string_value = value
        case bool():
            message.bool_value = value
        case int() if _INT64_MIN <= value <= _INT64_MAX:
            message.int_value = value
        case int():
            message.string_value = str(value)
        case float():
            message.double_value = value
        case bytes():
            message.bytes_value = value
        case None:
            message.SetInParent()
        case Mapping():
            message.kvlist_value.SetInParent()
            add_attributes(message.kvlist_value.values, value)
        case _:
            message.array_value.SetInParent()
            for item in value:
                fill(message.array_value.values.add(), item)
