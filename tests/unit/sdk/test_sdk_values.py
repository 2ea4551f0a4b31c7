"""Values as attribute text."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pydantic
import pytest

from spanward.sdk._values import MOST_CHARACTERS, is_credential_name, shorten, to_attribute, to_text


class Hostile:
    """An object whose repr raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@dataclasses.dataclass
class Point:
    """A dataclass with something to hide."""

    x: int
    api_key: str


class Login(pydantic.BaseModel):
    """A pydantic model with something to hide."""

    user: str
    password: str


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"),
        (Hostile(), '"<Hostile>"'),
        (None, "null"),
        ([math.nan, math.inf, 1.5], '["nan","inf",1.5]'),
        (b"abc", '"<3 bytes>"'),
        ({"a": {1}, 2: ("x",)}, '{"a":[1],"2":["x"]}'),
        (Point(1, "sk_live_1"), '{"x":1,"api_key":"<credential>"}'),
        (Login(user="u", password="p"), '{"user":"u","password":"<credential>"}'),
        (
            {"x-api-key": 1, "input_tokens": 2, "Set-Cookie": [3]},
            '{"x-api-key":"<credential>","input_tokens":2,"Set-Cookie":"<credential>"}',
        ),
        ("\ud800", "?"),
    ],
)
def test_any_value_has_a_text(value: Any, text: str) -> None:
    """JSON where there is JSON, a description where there is none, and no member that names itself a credential."""
    assert to_text(value) == text


def test_a_value_that_contains_itself_is_cut() -> None:
    """A cycle: the text ends at a depth, not in a RecursionError."""
    cycle: list[Any] = []
    cycle.append(cycle)
    assert to_text(cycle) == '[[[[[[[["…"]]]]]]]]'


def test_many_items_are_cut() -> None:
    """A huge list: its first hundred items."""
    assert to_text(list(range(10_000))).endswith(",99]")


def test_long_text_is_cut_between_identifiers() -> None:
    """The limit falls inside an email address: all of the address goes, for half of one would pass every detector."""
    filler = "x" * (MOST_CHARACTERS - 30)
    text = f'{filler},"jo.frost-with-a-long-name@example.com" and more'
    assert shorten(text) == f"{filler},…"


def test_long_text_without_delimiters_loses_a_margin() -> None:
    """No safe place near the end: a whole margin goes."""
    assert shorten("y" * 20_000) == "y" * (MOST_CHARACTERS - 1 - 256) + "…"
    assert shorten("y" * 300, 200) == "…"


@pytest.mark.parametrize(
    "name", ["password", "user.password", "API-KEY", "x_api_key", "access_token", "Authorization", "secret"]
)
def test_credential_names(name: str) -> None:
    """Names that announce a credential, in any case and with any separator."""
    assert is_credential_name(name)


@pytest.mark.parametrize(
    "name", ["input_tokens", "gen_ai.usage.output_tokens", "tokenizer", "secretary", "author", "key"]
)
def test_names_that_only_look_like_credentials(name: str) -> None:
    """Token counts and the like are data."""
    assert not is_credential_name(name)


@pytest.mark.parametrize(
    ("value", "attribute"),
    [
        (1, 1),
        (True, True),
        ("a\udfff", "a?"),
        ((1, 2), [1, 2]),
        (["a", "b"], ["a", "b"]),
        ([1, "a"], '[1,"a"]'),
        ([], "[]"),
        ([True, 1], "[true,1]"),
    ],
)
def test_attributes_keep_their_type_where_they_can(value: Any, attribute: Any) -> None:
    """Scalars and homogeneous sequences stay; what OpenTelemetry would drop becomes text."""
    result = to_attribute(value)
    assert result == attribute
    assert type(result) is type(attribute)
