"""What becomes of values that were found: actions, tokens, keys, subjects."""

from __future__ import annotations

from typing import Any

import pytest

from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.labels import Classification
from spanward.processor.policy.privacy.canonical import canonical
from spanward.processor.policy.privacy.entities import WITHHELD, Action, Entity
from spanward.processor.policy.privacy.key_rules import fold
from spanward.processor.policy.privacy.tokens import SUBJECT, TOKEN, digest, hashed, subject_candidates
from spanward.processor.policy.span import Attributes, AttributeValue, ResourceRecord, ScopeRecord, SpanRecord

KEY = HashKey("k1", b"0123456789abcdef0123456789abcdef")
OLD = HashKey("k0", b"fedcba9876543210fedcba9876543210")
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def token(entity: Entity, value: str) -> str:
    return hashed(entity, digest(KEY, value))


def governed(
    attributes: Attributes, policy: dict[str, Any] | None = None, keys: tuple[HashKey, ...] = (KEY,)
) -> SpanRecord:
    span = SpanRecord("a" * 32, "b" * 16, "op", 1, 2, ResourceRecord(), ScopeRecord(), attributes=attributes)
    Governor(Policy.model_validate(policy or {}), keys).govern([span])
    return span


@pytest.mark.parametrize(
    ("action", "expected", "dropped"),
    [
        ("tag", {"note": "to alice@example.com"}, 0),
        ("mask", {"note": "to <email>"}, 0),
        ("hash", {"note": "to " + token(Entity.EMAIL, "alice@example.com")}, 0),
        ("drop", {}, 1),
    ],
)
def test_each_action_does_what_it_says(action: str, expected: Attributes, dropped: int) -> None:
    """One email in an attribute under each action: text, count, type and subject are as documented."""
    span = governed({"note": "to alice@example.com"}, {"privacy": {"actions": {"email": action}}})

    assert span.attributes == expected
    assert span.dropped_attributes_count == dropped
    assert span.verdict is not None
    assert span.verdict.pii == ("email",)
    assert span.verdict.subjects == (digest(KEY, "alice@example.com"),)


def test_a_hash_without_a_key_masks_and_leaves_no_subject() -> None:
    """No key given: values are masked all the same, and the span has no subjects."""
    span = governed({"note": "to alice@example.com"}, keys=())

    assert span.attributes == {"note": "to <email>"}
    assert span.verdict is not None
    assert span.verdict.subjects == ()


@pytest.mark.parametrize(
    ("entity", "written", "other"),
    [
        (Entity.EMAIL, "Alice@Example.com", " alice@example.com "),
        (Entity.PHONE, "(415) 555-2671", "+1 415 555 2671"),
        (Entity.PHONE, "1-415-555-2671", "+14155552671"),
        (Entity.IPV6, "2001:DB8:0:0::1", "2001:db8::1"),
        (Entity.IPV6, "::ffff:192.0.2.1", "192.0.2.1"),
        (Entity.CARD, "4111 1111 1111 1111", "4111-1111-1111-1111"),
        (Entity.IBAN, "de89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        (Entity.IPV4, "no address", " no address"),
        (Entity.JWT, " x", "x"),
    ],
)
def test_one_value_has_one_digest_however_it_is_written(entity: Entity, written: str, other: str) -> None:
    """Two ways to write a value: the canonical form, and with it token and subject, are the same."""
    assert canonical(entity, written) == canonical(entity, other)


@pytest.mark.parametrize(
    "value",
    ["Alice@Example.com", "(415) 555-2671", "2001:DB8:0::1", "93.184.216.34", "4111 1111 1111 1111", "123-45-6789"],
)
def test_whoever_is_looked_up_is_found(value: str) -> None:
    """A value in a span under the older of two keys: the candidates of the value name the span's subject."""
    span = governed({"note": f"see {value}, ok"}, keys=(OLD,))

    assert span.verdict is not None
    assert set(span.verdict.subjects) <= set(subject_candidates(value, [KEY, OLD]))
    assert span.verdict.subjects


def test_tokens_and_subjects_are_their_own_candidates() -> None:
    """A token copied out of a trace, and a subject: each answers for itself; a mask answers for nobody."""
    subject = digest(KEY, "alice@example.com")

    assert subject_candidates(f" <email:{subject}>", [KEY]) == [subject]
    assert subject_candidates(subject, []) == [subject]
    assert subject_candidates("<card>", [KEY]) == []
    assert subject_candidates("  ", [KEY]) == []


def test_person_ids_are_subjects_and_stay() -> None:
    """A text id, a number, an email in other letters, a flag, an empty text: ids stay, each person is one subject."""
    span = governed({"user.id": "u-77", "enduser.id": 42, "user.email": "Al@Example.com"})
    nobody = governed({"user.id": True, "enduser.id": " ", "user.email": ["x"]})

    assert span.attributes == {"user.id": "u-77", "enduser.id": 42, "user.email": token(Entity.EMAIL, "al@example.com")}
    assert span.verdict is not None
    assert nobody.verdict is not None
    expected = {digest(KEY, "u-77"), digest(KEY, "42"), digest(KEY, "al@example.com")}
    assert set(span.verdict.subjects) == expected
    assert nobody.verdict.subjects == ()


@pytest.mark.parametrize(
    "key",
    [
        "authorization",
        "http.request.header.authorization",
        "Proxy-Authorization",
        "password",
        "db.user.Password",
        "PASSWD",
        "client_secret",
        "aws-secret-access-key",
        "X-Api-Key",
        "http.request.header.x-api-key",
        "apiKey",
        "openaiAPIKey",
        "accessToken",
        "access_token",
        "token",
        "x.auth.token",
        "idtoken",
        "cookie",
        "http.response.header.set-cookie",
        "tls.private_key",
        "card.cvv",
    ],
)
@pytest.mark.parametrize("value", ["x", 12, 1.5, True, None, ["a", "b"], {"a": 1}, b"\xff", ""])
def test_secret_keys_lose_their_value_whatever_it_is(key: str, value: AttributeValue) -> None:
    """A key that names a secret, a value of any type: the attribute is dropped, counted and recorded."""
    span = governed({key: value, "kept": 1})

    assert span.attributes == {"kept": 1}
    assert span.dropped_attributes_count == 1
    assert span.verdict is not None
    assert span.verdict.pii == ("credential",)


@pytest.mark.parametrize(
    "key",
    [
        "gen_ai.usage.input_tokens",
        "gen_ai.usage.output_tokens",
        "gen_ai.token.type",
        "gen_ai.server.time_to_first_token",
        "gen_ai.server.time_per_output_token",
        "llm.max_tokens",
        "tokenizer.eos_token",
        "next_page_token",
        "tokens",
        "db.primary_key",
        "k8s.secret.name",
        "messaging.kafka.message.key",
        "author",
        "password_length",
        "cookie.consent",
    ],
)
def test_keys_that_only_sound_like_secrets_are_left(key: str) -> None:
    """Token counts, kinds of tokens, database keys: nothing is dropped."""
    span = governed({key: "7"})

    assert span.attributes == {key: "7"}
    assert span.verdict is not None
    assert span.verdict.pii == ()


@pytest.mark.parametrize(
    ("key", "folded"),
    [("X-Api-Key", "x_api_key"), ("openaiAPIKey", "openai_api_key"), ("a..b__C", "a_b_c"), ("é.x", "x"), ("A", "a")],
)
def test_keys_fold(key: str, folded: str) -> None:
    """Separators, letter case and camel humps do not matter."""
    assert fold(key) == folded


def test_a_key_rule_can_name_type_and_action() -> None:
    """Own rules before the built-in ones: hash, mask, tag, drop and an exception, on texts, numbers and tokens."""
    rules = [
        {"pattern": "^customer_name$", "entity": "email", "action": "hash"},
        {"pattern": "^tax_id$", "entity": "us_ssn", "unless": "never"},
        {"pattern": "^note$", "action": "tag"},
        {"pattern": "_gone$", "action": "drop"},
    ]
    span = governed(
        {"customer.name": "Alice ", "tax.id": 123456789, "note": "a@b.co", "is_gone": 1, "customer_name": "<email>"},
        {"privacy": {"key_rules": rules}},
    )

    assert span.attributes == {
        "customer.name": token(Entity.EMAIL, "alice"),
        "tax.id": "<us_ssn>",
        "note": token(Entity.EMAIL, "a@b.co"),
        "customer_name": "<email>",
    }
    assert span.verdict is not None
    assert digest(KEY, "123456789") in span.verdict.subjects


def test_built_in_key_rules_can_be_forgotten() -> None:
    """`default_key_rules: false`: a password attribute is an attribute like any other."""
    assert governed({"password": "x"}, {"privacy": {"default_key_rules": False}}).attributes == {"password": "x"}


def test_a_value_with_a_secret_drops_the_attribute_and_text_keeps_a_marker() -> None:
    """A JWT in an attribute, a list, a map, a map in a list, the span's name: dropped or marked as documented."""
    span = SpanRecord("a" * 32, "b" * 16, f"GET {JWT}", 1, 2, ResourceRecord(), ScopeRecord())
    span.attributes = {
        "a": f"x {JWT}",
        "list": ["ok", f"x {JWT}"],
        "map": {"gone": JWT, "kept": 1, "password": "x"},
        "deep": [{"gone": JWT, "kept": True}, b"bytes " + JWT.encode()],
        "bytes": JWT.encode(),
        "tuple": (JWT, "a"),
    }
    Governor(Policy.default(), [KEY]).govern([span])

    assert span.name == "GET <jwt>"
    assert span.attributes == {
        "list": ["ok", "x <jwt>"],
        "map": {"kept": 1},
        "deep": [{"kept": True}, WITHHELD],
        "tuple": ("<jwt>", "a"),
    }
    assert span.dropped_attributes_count == 2


def test_untouched_values_are_the_same_objects() -> None:
    """Clean nested values: not copied."""
    value: Attributes = {"a": [1, "b", {"c": b"d"}], "e": None}
    attributes: Attributes = {"v": value}

    span = governed(attributes)

    assert span.attributes is attributes
    assert span.attributes["v"] is value


def test_keys_that_hold_personal_data_are_replaced() -> None:
    """An email as attribute key and as nested key: the token takes its place, the value stays."""
    span = governed({"bob@example.org": 1, "m": {"bob@example.org": "x", "y": 2}})

    replaced = token(Entity.EMAIL, "bob@example.org")
    assert span.attributes == {replaced: 1, "m": {replaced: "x", "y": 2}}


def test_bytes_are_looked_at_whatever_they_are() -> None:
    """Bytes with an email, with one beside what is no UTF-8, and without: redacted, and otherwise byte for byte."""
    span = governed({"a": b"to alice@example.com", "b": b"\xff alice@example.com", "c": b"\x00"})

    assert span.attributes["a"] == b"to " + token(Entity.EMAIL, "alice@example.com").encode()
    assert span.attributes["b"] == b"\xff " + token(Entity.EMAIL, "alice@example.com").encode()
    assert span.attributes["c"] == b"\x00"


def test_numbers_are_never_scanned() -> None:
    """An int and a float with the digits of a card: left alone."""
    attributes: Attributes = {"i": 4111111111111111, "f": 4111111111111111.0, "n": [4111111111111111]}

    assert governed(attributes).attributes is attributes


def test_allowed_keys_values_and_networks_are_not_reported() -> None:
    """User agents and versions, loopback, a literal, a network of one's own: not reported; others are."""
    allow = {"values": ["NoReply@example.com"], "networks": ["10.0.0.0/8", "127.0.0.0/8"]}
    span = governed(
        {
            "user_agent.original": "Agent/1.2.3.4",
            "process.runtime.version": "10.2.3.4.",
            "host": "10.1.2.3 127.0.0.1",
            "mail": "noreply@EXAMPLE.com",
            "peer": "192.0.2.1",
        },
        {"privacy": {"allow": allow}},
    )

    assert span.attributes["peer"] == token(Entity.IPV4, "192.0.2.1")
    assert [span.attributes[key] for key in ("user_agent.original", "host", "mail")] == [
        "Agent/1.2.3.4",
        "10.1.2.3 127.0.0.1",
        "noreply@EXAMPLE.com",
    ]
    assert span.verdict is not None
    assert span.verdict.pii == ("ipv4",)


def test_loopback_and_unspecified_addresses_are_allowed_by_default() -> None:
    """127.0.0.1, 0.0.0.0 and ::1 in the default policy: no find."""
    attributes: Attributes = {"a": "http://127.0.0.1:80 0.0.0.0", "b": "[::1]:443 ::ffff:127.0.0.1"}

    assert governed(attributes).attributes is attributes


def test_a_class_can_have_its_own_actions() -> None:
    """Emails dropped in restricted spans only: two spans differ by their class alone."""
    policy = {"privacy": {"classes": {"restricted": {"email": "drop"}}}}

    assert governed({"e": "a@b.co"}, policy).attributes == {"e": token(Entity.EMAIL, "a@b.co")}
    assert "e" not in governed({"e": "a@b.co", "spanward.classification": "restricted"}, policy).attributes


def test_what_spans_share_gets_the_strongest_action_of_any_class() -> None:
    """The resource of an internal span, with emails dropped for restricted spans: dropped, for others may share it."""
    policy = Policy.model_validate({"privacy": {"classes": {"restricted": {"email": "drop"}}}})
    span = SpanRecord("a" * 32, "b" * 16, "op", 1, 2, ResourceRecord({"owner": "a@b.co"}), ScopeRecord())
    Governor(policy, [KEY]).govern([span])

    assert span.resource.attributes == {}
    assert span.resource.dropped_attributes_count == 1
    assert span.verdict is not None
    assert span.verdict.classification is Classification.INTERNAL


def test_overlapping_finds_take_the_strongest_action() -> None:
    """A password in a URL looks like an email too: one stretch, dropped; tagged bearer around a masked JWT: masked."""
    url = governed({"db": "postgres://app:s3cret@db.example.com/x"})
    actions = {"bearer_token": "tag", "jwt": "mask"}
    header = governed({"h": f"x Bearer {JWT} y"}, {"privacy": {"actions": actions}})

    assert url.attributes == {}
    assert url.verdict is not None
    assert url.verdict.pii == ("credential_url",)
    assert header.attributes == {"h": "x <jwt> y"}


def test_too_much_text_and_depth_is_withheld() -> None:
    """A text beyond the limit and a value nested beyond it: the rest is withheld, and a second pass changes nothing."""
    policy = {"limits": {"max_text_length": 1000, "max_depth": 2}}
    span = governed({"t": "a@b.co " + "x" * 2000, "c": "y" * 1001, "d": [[["deep"]]]}, policy)

    assert span.attributes["c"] == "y" * 1000 + WITHHELD
    assert str(span.attributes["t"]).endswith("x" + WITHHELD)
    assert span.attributes["d"] == [[WITHHELD]]
    before = dict(span.attributes)
    Governor(Policy.model_validate(policy), [KEY]).govern([span])
    assert {k: span.attributes[k] for k in "cd"} == {k: before[k] for k in "cd"}


def test_without_a_memo_everything_works_the_same() -> None:
    """`max_memo: 0`: scans are repeated, results are equal."""
    attributes: Attributes = {"a": "x@y.co", "b": "x@y.co"}

    assert governed(dict(attributes), {"limits": {"max_memo": 0}}).attributes == governed(dict(attributes)).attributes


def test_privacy_can_be_turned_off() -> None:
    """`privacy.enabled: false`: texts stay, claims still label."""
    span = governed({"e": "a@b.co", "spanward.pii": ["email"]}, {"privacy": {"enabled": False}})

    assert span.attributes["e"] == "a@b.co"
    assert span.verdict is not None
    assert span.verdict.pii == ("email",)


def test_tokens_have_one_form() -> None:
    """Tokens of every type and action: recognised, subjects too; the secret never shows."""
    for entity in Entity:
        assert TOKEN.fullmatch(hashed(entity, digest(KEY, "x")))
    assert SUBJECT.fullmatch(digest(KEY, "x"))
    assert "0123456789abcdef" not in repr(KEY)
    assert list(Action) == ["tag", "hash", "mask", "drop"]


@pytest.mark.parametrize("name", ["", "k:1", "k 1", "k" * 33, "<k1>"])
def test_a_key_id_that_would_break_tokens_is_refused(name: str) -> None:
    """Ids that a token could not carry: refused when the key is made, and the secret is not in the message."""
    with pytest.raises(ValueError, match="hash key id") as caught:
        HashKey(name, b"very-secret")

    assert "very-secret" not in str(caught.value)
