"""Attribute values survive their JSON form."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanward.store.values import dumps, dumps_attributes, loads, loads_attributes

KEYS = st.text(max_size=8) | st.sampled_from(["@bytes", "@double", "@", "@@bytes"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def same(left: Any, right: Any) -> bool:
    """Equality in which NaN equals NaN and types count."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


@given(VALUES)
def test_any_value_comes_back_with_its_type(value: Any) -> None:
    """Scenario: any nested OTLP value. Guarantee: loads(dumps(v)) is v, bytes, NaN and escaped keys included."""
    assert same(loads(dumps(value)), value)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_attributes_come_back(attributes: dict[str, Any]) -> None:
    """Scenario: attributes whose keys look like our escapes. Guarantee: keys and values come back unchanged."""
    assert same(loads_attributes(dumps_attributes(attributes)), attributes)


def test_plain_values_stay_readable() -> None:
    """Scenario: SQL reads the column. Guarantee: ordinary attributes are ordinary JSON, numbers keep their kind."""
    text = dumps_attributes({"service.name": "cart", "n": 1, "x": 1.0, "ok": True, "list": ("a", "b")})
    assert text == '{"service.name":"cart","n":1,"x":1.0,"ok":true,"list":["a","b"]}'


@pytest.mark.parametrize("text", ["[]", "1", "{", ""])
def test_text_that_is_no_attributes_is_refused(text: str) -> None:
    """Scenario: a damaged column. Guarantee: ValueError, never half a result."""
    with pytest.raises(ValueError):
        loads_attributes(text)


def test_a_value_without_an_otlp_form_is_refused() -> None:
    """Scenario: a bug hands over a set. Guarantee: TypeError names the type."""
    with pytest.raises(TypeError, match="set"):
        dumps({1, 2})
