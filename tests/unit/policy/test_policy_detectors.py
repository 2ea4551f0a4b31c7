"""What is found in one text, and what is not."""

from __future__ import annotations

import pytest

from spanward.processor.policy.privacy import checks
from spanward.processor.policy.privacy.detect import find

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
KEY_BLOCK = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD9\n-----END RSA PRIVATE KEY-----"


def found(text: str) -> list[tuple[str, str]]:
    return [(hit.entity.value, text[hit.start : hit.end]) for hit in find(text)]


@pytest.mark.parametrize(
    ("entity", "value"),
    [
        ("email", "alice@example.com"),
        ("email", "a.b+tag_c@sub.example.co.uk"),
        ("email", "josé@exämple.com"),
        ("email", "x" * 300 + "@example.com"),
        ("phone", "+14155552671"),
        ("phone", "+1 (415) 555-2671"),
        ("phone", "+44 20 7946 0958"),
        ("phone", "(415) 555-2671"),
        ("phone", "415-555-2671"),
        ("phone", "415.555.2671"),
        ("phone", "1-415-555-2671"),
        ("phone", "06 12 34 56 78"),
        ("card", "4111111111111111"),
        ("card", "4111 1111 1111 1111"),
        ("card", "5500-0000-0000-0004"),
        ("card", "3782 822463 10005"),
        ("card", "378282246310005"),
        ("card", "3056 930902 5904"),
        ("card", "6011000990139424"),
        ("card", "4222222222222"),
        ("us_ssn", "123-45-6789"),
        ("us_ssn", "123 45 6789"),
        ("iban", "DE89370400440532013000"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "gb29nwbk60161331926819"),
        ("iban", "MT84MALT011000012345MTLCAST001S"),
        ("ipv4", "93.184.216.34"),
        ("ipv6", "2001:db8::1"),
        ("ipv6", "2001:0db8:85a3:0000:0000:8a2e:0370:7334"),
        ("ipv6", "fe80::1ff:fe23:4567:890a"),
        ("jwt", JWT),
        ("api_key", "AKIAIOSFODNN7EXAMPLE"),
        ("api_key", "ghp_" + "a1B2" * 9),
        ("api_key", "github_pat_" + "a1B2" * 6),
        ("api_key", "xoxb-123456789012-abcdefABCDEF"),
        ("api_key", "sk_live_" + "a1B2" * 6),
        ("api_key", "AIza" + "Sy1-_" * 7),
        ("api_key", "sk-proj-" + "a1B2" * 8),
        ("api_key", "glpat-" + "a1B2" * 5),
        ("api_key", KEY_BLOCK),
        ("bearer_token", "Bearer abc123DEF456"),
        ("bearer_token", "bearer " + "abcdefghij" * 3),
        ("bearer_token", "Basic dXNlcjpwYXNz"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "see {} there", "({})", '{{"a":"{}"}}', "x={};", "电话{}号", "{}.", "[{}]"])
def test_values_of_every_type_are_found_whole(entity: str, value: str, around: str) -> None:
    """A value between usual neighbours: one hit of its type covers it from its first to its last character."""
    text = around.format(value)

    assert any(kind == entity and value in match for kind, match in found(text)), found(text)


@pytest.mark.parametrize(
    "text",
    [
        "550e8400-e29b-41d4-a716-446655440000",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "e29b41d44111111111111111a716",
        "ORD4111111111111111",
        "0.4111111111111111",
        "4111111111111111.5",
        "4111111111111112",
        "1767225600000000000",
        "1767225600123",
        "2026-11-21T06:15:08.123456Z",
        "2026-11-21 06:15:08",
        "12:30:45",
        "00:1a:2b:3c:4d:5e",
        "aa:bb:cc:dd:ee:ff:00:11",
        "Dad::Bad",
        "std::vector",
        "a[1::2] b[::2]",
        "Chrome/120.0.0.0 Safari/537.36",
        "version 1.2.3.4",
        "release: 10.2.0.1",
        "v1.2.3.4",
        "1.2.3.4.5",
        "256.1.1.1",
        "01.2.3.4",
        "order ORD00123456 qty 200",
        "[200 300 4000 123 456 7890 1]",
        "1-415-555-26711",
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "123-00-4567",
        "123-45-0000",
        "1-123-45-6789",
        "DE89370400440532013001",
        "DE8937040044053201300",
        "ZZ89370400440532013000",
        "icon@2x.png",
        "user@localhost",
        "@app.route",
        "a basic understanding of bearer responsibilities",
        "sk-learn-pipeline-with-a-long-name",
        "task-force-of-twenty-people-and-more",
        "eyJ is how it starts",
        "http://localhost:4318/v1/traces",
        "password=os.environ['X']",
        "f(password=get())",
        'password": null',
        '{"password": "****"}',
        "forgot my password: please help",
        '{"token": "Hello", "logprob": -0.1}',
        "+0000",
        "x+14155552671",
        "+1234567",
        "211%2C653",
        "/route?dropoff=211%2C653&pickup=696%2C555",
        "10 000 000 000 000",
        "",
        "<card",
        "<emails>",
    ],
)
def test_lookalikes_are_left_alone(text: str) -> None:
    """Ids, times, versions, numbers and prose that resemble personal data: no hit."""
    assert found(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+1-415-555-0123 2026", ("phone", "+1-415-555-0123")),
        ("415-555-2671x890", ("phone", "415-555-2671")),
        ("4111 1111 1111 1111 12", ("card", "4111 1111 1111 1111")),
        ("4111 1111 1111 1111 1234", ("card", "4111 1111 1111 1111")),
        ("1234 4111 1111 1111 1111", ("card", "4111 1111 1111 1111")),
        ("DE89 3704 0044 0532 0130 00 and more", ("iban", "DE89 3704 0044 0532 0130 00")),
        ("AB12 DE89370400440532013000", ("iban", "DE89370400440532013000")),
        ("2001:db8::1: refused", ("ipv6", "2001:db8::1")),
        ("[2001:db8::1]:8080", ("ipv6", "2001:db8::1")),
        ("postgres://app:s3cret@db.example.com/x", ("credential_url", "app:s3cret@db.example.com")),
        ("redis://:s3cret@cache:6379/0", ("credential_url", ":s3cret@cache")),
        ("https://h/?password=hunter2&a=1", ("credential", "hunter2")),
        ("DB_PASSWORD=hunter2", ("credential", "hunter2")),
        ("{'api_key': 'abc'}", ("credential", "abc")),
        ('{"clientSecret": "a\\"b"}', ("credential", 'a\\"b')),
        ("Authorization: Bearer abc123DEF456", ("bearer_token", "Bearer abc123DEF456")),
        ("x -----BEGIN PRIVATE KEY-----\nMII cut", ("api_key", "-----BEGIN PRIVATE KEY-----\nMII cut")),
        ("::ffff:192.0.2.1", ("ipv6", "::ffff:192.0.2.1")),
        ("...alice@example.com", ("email", "alice@example.com")),
    ],
)
def test_hits_end_where_the_value_ends(text: str, expected: tuple[str, str]) -> None:
    """Values with more of the same beside them: the hit covers the value and nothing else."""
    assert expected in found(text)


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("q=alice%40example.com", "alice@example.com", "alice%40example.com"),
        ("p=%2B14155552671", "+14155552671", "%2B14155552671"),
        ("c=4111+1111+1111+1111&x=1", "4111 1111 1111 1111", "4111+1111+1111+1111"),
        ("a%2C123-45-6789", "123-45-6789", "123-45-6789"),
        ('{"t":"hi\\nalice@example.com"}', "alice@example.com", "alice@example.com"),
        ('{"t":"\\u003calice@example.com\\u003e"}', "alice@example.com", "alice@example.com"),
        ('"{\\"t\\":\\"x\\\\nalice@example.com\\"}"', "alice@example.com", "alice@example.com"),
        ("a=b&c=GB29+NWBK+6016+1331+9268+19", "GB29 NWBK 6016 1331 9268 19", "GB29+NWBK+6016+1331+9268+19"),
        ("h=Bearer+abc123DEF456&x", "Bearer abc123DEF456", "Bearer+abc123DEF456"),
        ("q=call+%2B14155552671", "+14155552671", "%2B14155552671"),
        ('[{"a":"{\\"password\\":\\"hunter2\\"}"}]', "hunter2", "hunter2"),
        ("%63%40x", None, ""),
        ("rate%4111111111111111 off", None, ""),
    ],
)
def test_escapes_are_seen_through(text: str, value: str | None, written: str) -> None:
    """Values inside JSON strings and URLs: what is meant is found, and cut exactly where it is written."""
    hits = find(text)

    if value is None:
        assert hits == ()
        return
    assert [(hit.value, text[hit.start : hit.end]) for hit in hits] == [(value, written)]


def test_a_plus_may_be_part_of_an_address() -> None:
    """`email=alice+tag@...` can be read with a space and without: the longer reading is among the hits."""
    assert ("email", "alice2+2tag@example.com") in found("email=alice2+2tag@example.com")


def test_tokens_are_recognised_and_nothing_is_found_in_them() -> None:
    """Tokens of an earlier pass, one with a digest full of digits: each is one token hit with its subject."""
    digest = "4111111111111111" * 2
    hits = find(f"<email:k1:{digest}> and <card>")

    assert [(hit.entity.value, hit.value, hit.token) for hit in hits] == [
        ("email", f"k1:{digest}", True),
        ("card", "", True),
    ]


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "1",
        "eyJ",
        "1 ",
        "4111 1111 1111 1112 ",
        "a@",
        "+1",
        "a:",
        "%2",
        "\\",
        "1.",
        "sk-",
        "<",
        "a.a@a.",
        "(",
        "Basic ",
        "DE89",
        "a@b.co <jwt> ",
    ],
)
@pytest.mark.timeout(60)
def test_hostile_texts_do_not_stall_the_scan(piece: str) -> None:
    """Half a million characters that start a candidate at every step: a scan that is not linear would not come back."""
    assert isinstance(find("@ 12345678.1.2.3 eyJ" + piece * (500_000 // len(piece))), tuple)


@pytest.mark.parametrize(
    ("number", "valid"),
    [("4111111111111111", True), ("4111111111111112", False), ("41111111111111", False), ("1111111111111117", False)],
)
def test_card_numbers_need_issuer_length_and_check_digit(number: str, *, valid: bool) -> None:
    """Numbers right, with a wrong check digit, of a wrong length, of no issuer."""
    assert checks.card(number) is valid


def test_an_iban_of_a_country_without_ibans_is_none() -> None:
    """US has no IBANs: never valid, whatever the digits."""
    assert checks.iban_length("US") is None
    assert not checks.iban("US00123456789")
