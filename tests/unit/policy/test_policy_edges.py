"""Values at the edges: of the length that is looked at, of bytes, of attribute keys, of what senders claim."""

from __future__ import annotations

import pytest

from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import UNGOVERNED, Governor
from spanward.processor.policy.privacy.entities import WITHHELD
from spanward.processor.policy.span import Attributes, ResourceRecord, ScopeRecord, SpanRecord

GOVERNOR = Governor(Policy.model_validate({"limits": {"max_text_length": 1000}}))


def governed(attributes: Attributes) -> SpanRecord:
    span = SpanRecord("a" * 32, "b" * 16, "op", 1, 2, ResourceRecord(), ScopeRecord(), attributes=attributes)
    GOVERNOR.govern([span])
    return span


@pytest.mark.parametrize("before", range(975, 1001))
@pytest.mark.parametrize("value", ["4111111111111111", "alice@example.com", "+14155552671"])
def test_no_piece_of_a_value_remains_at_the_limit(value: str, before: int) -> None:
    """A value that begins before the limit and ends behind it, at every offset: none of its pieces is kept."""
    text = governed({"note": "-" * (before - 1) + " " + value + " " + "y" * 600}).attributes["note"]

    assert isinstance(text, str)
    assert text.endswith(WITHHELD)
    assert text.count("y") == max(0, 1000 - before - len(value) - 1)
    assert not any(value[:length] in text for length in range(4, len(value) + 1))


def test_a_find_that_is_only_tagged_does_not_lengthen_the_text() -> None:
    """A tagged value across the limit: what is behind the limit is withheld all the same."""
    governor = Governor(
        Policy.model_validate({"limits": {"max_text_length": 1000}, "privacy": {"actions": {"card": "tag"}}})
    )
    text = "-" * 989 + " 4111111111111111 4111111111111111"

    assert governor.redact(text) == text[:1000] + WITHHELD


def test_binary_bytes_stay_byte_for_byte_but_for_what_is_found() -> None:
    """All 256 byte values, alone and around a card: the first stay, from the second only the card goes."""
    noise = bytes(range(256))
    span = governed({"a": noise, "b": noise + b" 4111111111111111 " + noise})

    assert span.attributes == {"a": noise, "b": noise + b" <card> " + noise}


@pytest.mark.parametrize("key", ["Password 4111111111111111", "password <card>", "password=hunter2"])
def test_a_key_means_the_same_before_and_after_it_was_redacted(key: str) -> None:
    """A secret key with a value in it: its own value is dropped in the first pass, and not only in the second."""
    assert governed({key: "x"}).attributes == {}


def test_claimed_violations_hold_no_values() -> None:
    """Names of rules that a sender claims: an IBAN and a key in lower case are none; others are kept."""
    claimed = ["de89370400440532013000", "sk-" + "a1b2" * 8, "their_rule"]
    verdict = governed({"spanward.quality.violations": claimed}).verdict

    assert verdict is not None
    assert verdict.quality_violations == ("their_rule",)


def test_the_rules_in_force_are_known_by_name() -> None:
    """What metrics may be labelled with: built-in rules, that about claims, and the mark of unchecked spans."""
    assert {"time_order", "claims", UNGOVERNED} <= GOVERNOR.rules
