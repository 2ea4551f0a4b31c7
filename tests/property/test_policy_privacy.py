"""Guarantees of the policy over random spans and texts."""

from __future__ import annotations

import copy
import ipaddress
import json
import string
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.privacy import checks
from spanward.processor.policy.privacy.canonical import canonical
from spanward.processor.policy.privacy.detect import find
from spanward.processor.policy.privacy.entities import Action, Entity
from spanward.processor.policy.privacy.escapes import Unescaped
from spanward.processor.policy.privacy.tokens import digest, subject_candidates
from spanward.processor.policy.span import EventRecord, LinkRecord, ResourceRecord, ScopeRecord, SpanRecord

KEY = HashKey("k1", b"0123456789abcdef0123456789abcdef")
GOVERNOR = Governor(Policy.default(), [KEY])
ALL_DROP, ALL_MASK, ALL_HASH = (
    Governor(Policy.model_validate({"privacy": {"actions": dict.fromkeys(Entity, action)}}), [KEY])
    for action in (Action.DROP, Action.MASK, Action.HASH)
)


def luhn_complete(digits: str) -> str:
    return next(digits + last for last in "0123456789" if checks.luhn(digits + last))


def iban_complete(country: str, account: str) -> str:
    turned = "".join(str(int(c, 36)) for c in account + country + "00")
    return f"{country}{98 - int(turned) % 97:02d}{account}"


def digits(count: int) -> st.SearchStrategy[str]:
    return st.text(string.digits, min_size=count, max_size=count)


def grouped(text: str, separator: str) -> str:
    return separator.join(text[i : i + 4] for i in range(0, len(text), 4))


CARDS = st.builds(
    lambda prefix, rest, separator: grouped(luhn_complete((prefix + rest)[:15]), separator),
    st.sampled_from(["4", "51", "2221", "6011", "62", "3530"]),
    digits(15),
    st.sampled_from(["", " ", "-"]),
)
AMEX = st.builds(lambda rest: luhn_complete("37" + rest), digits(12))
IBANS = st.one_of(
    st.builds(lambda a: iban_complete("DE", a), digits(18)),
    st.builds(
        lambda b, a: iban_complete("GB", b + a), st.text(string.ascii_uppercase, min_size=4, max_size=4), digits(14)
    ),
    st.builds(lambda a: grouped(iban_complete("FR", a), " "), digits(23)),
)
EMAILS = st.builds(
    lambda name, host, tld: f"{name}@{host}.{tld}",
    st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9._+-]{0,20}[a-zA-Z0-9])?", fullmatch=True),
    st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True),
    st.sampled_from(["com", "org", "example", "co.uk"]),
)
PHONES = st.builds(
    lambda form, area, exchange, line: form.format(area, exchange, line),
    st.sampled_from(["+1-{}-{}-{}", "({}) {}-{}", "{}-{}-{}", "{}.{}.{}", "+1 {} {} {}", "+1{}{}{}"]),
    st.integers(201, 989).map(str),
    st.integers(100, 999).map(str),
    digits(4),
)
SSNS = st.builds(
    lambda area, group, serial: f"{area:03d}-{group:02d}-{serial:04d}",
    st.integers(1, 899).filter(lambda area: area != 666),
    st.integers(1, 99),
    st.integers(1, 9999),
)
IPV4S = st.ip_addresses(v=4).filter(lambda a: not a.is_loopback and not a.is_unspecified).map(str)
IPV6S = st.integers(2, 2**96 - 1).map(lambda n: str(ipaddress.IPv6Address((0x2001 << 112) + n * 7919)))
TOKENS = st.text(string.ascii_letters + string.digits, min_size=36, max_size=36).filter(
    lambda t: any(c.isdigit() for c in t) and any(c.isalpha() for c in t),
)
SECRETS = st.one_of(
    TOKENS.map(lambda t: f"ghp_{t}"),
    TOKENS.map(lambda t: f"sk-proj-{t}"),
    TOKENS.map(lambda t: f"Bearer {t}"),
    TOKENS.map(lambda t: f"eyJ{t}.{t}.{t}"),
)
PLANTED = st.one_of(
    CARDS.map(lambda v: (Entity.CARD, v)),
    AMEX.map(lambda v: (Entity.CARD, v)),
    IBANS.map(lambda v: (Entity.IBAN, v)),
    EMAILS.map(lambda v: (Entity.EMAIL, v)),
    PHONES.map(lambda v: (Entity.PHONE, v)),
    SSNS.map(lambda v: (Entity.US_SSN, v)),
    IPV4S.map(lambda v: (Entity.IPV4, v)),
    IPV6S.map(lambda v: (Entity.IPV6, v)),
    SECRETS.map(lambda v: (Entity.API_KEY, v)),
)
WORDS = st.text(string.ascii_letters + "éß日本 ,;()'", max_size=12).filter(
    lambda w: not w.lower().rstrip().endswith(("version", "release", "build")),
)
AROUND = st.tuples(WORDS, st.sampled_from([" ", ", ", "(", '"', "<", "\n", "\t", "日", ";", "|"]), WORDS)


@st.composite
def planted_texts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A text and the values that were put into it."""
    text, values = "", list[str]()
    for _ in range(draw(st.integers(1, 3))):
        before, separator, after = draw(AROUND)
        value = draw(PLANTED)[1]
        values.append(value)
        text += f"{before}{separator}{value}{'>' if separator == '<' else separator} ~ {after} ~ "
    return text, values


@st.composite
def planted_spans(draw: st.DrawFn) -> tuple[SpanRecord, list[str]]:
    """A span with planted texts anywhere it can hold text."""
    planted: list[str] = []

    def text() -> str:
        written, values = draw(planted_texts())
        planted.extend(values)
        return written

    def clean() -> Any:
        return draw(st.one_of(WORDS, st.integers(), st.floats(), st.booleans(), st.none(), st.binary(max_size=5)))

    def value(depth: int = 0) -> Any:
        kind = draw(st.integers(0, 6 if depth < 3 else 2))
        if kind == 3:
            return [value(depth + 1) for _ in range(draw(st.integers(0, 2)))]
        if kind == 4:
            return {key(): value(depth + 1) for _ in range(draw(st.integers(0, 2)))}
        if kind == 5:
            return text().encode()
        if kind == 6:
            return json.dumps({key(): value(3) for _ in range(2)}, default=repr)
        return text() if kind else clean()

    def key() -> str:
        return text() if draw(st.integers(0, 4)) == 0 else draw(st.text("abc.xyz", min_size=1, max_size=6))

    def attributes() -> dict[str, Any]:
        return {key(): value() for _ in range(draw(st.integers(0, 3)))}

    resource = ResourceRecord(attributes(), schema_url=text(), entity_refs=[{"type": text(), "id_keys": [text()]}])
    scope = ScopeRecord(text(), draw(WORDS), attributes(), schema_url=text())
    span = SpanRecord("a" * 32, "b" * 16, text(), 5, 6, resource, scope, trace_state=text(), status_message=text())
    span.attributes = attributes()
    span.events = [EventRecord(1, text(), attributes()) for _ in range(draw(st.integers(0, 2)))]
    span.links = [LinkRecord("c" * 32, "d" * 16, text(), attributes()) for _ in range(draw(st.integers(0, 1)))]
    return span, planted


@pytest.mark.parametrize("governor", [GOVERNOR, ALL_DROP, ALL_MASK, ALL_HASH])
@settings(max_examples=60, deadline=None)
@given(planted=planted_spans())
def test_no_planted_value_survives(governor: Governor, planted: tuple[SpanRecord, list[str]]) -> None:
    """Values of all types anywhere in a random span, under drop, mask and hash: none is left anywhere."""
    span, values = copy.deepcopy(planted[0]), planted[1]

    governor.govern([span])

    left = repr(span) + repr(span).encode("ascii", "backslashreplace").decode()
    assert governor.failures == 0
    assert [value for value in values if value in left] == []


@settings(max_examples=100, deadline=None)
@given(planted=planted_spans())
def test_governing_twice_changes_nothing(planted: tuple[SpanRecord, list[str]]) -> None:
    """A span that went through the policy goes through again, as from application to sidecar: every text stays."""
    span = copy.deepcopy(planted[0])
    GOVERNOR.govern([span])
    first = copy.deepcopy(span)
    span.resource.governed = span.scope.governed = False

    GOVERNOR.govern([span])

    for record in (span, first):
        record.verdict = None
        for shared in (record.resource, record.scope):
            shared.pii = shared.subjects = ()
    assert repr(span) == repr(first)


@settings(max_examples=300, deadline=None)
@given(planted=PLANTED, around=AROUND)
def test_a_planted_value_is_found_as_what_it_is(planted: tuple[Entity, str], around: tuple[str, str, str]) -> None:
    """One value between separators: a finding covers it; an identifying one is found again by any live key."""
    entity, value = planted
    before, separator, after = around
    text = f"{before}{separator}{value}{separator} ~ {after}"
    hits = [hit for hit in find(text) if value in text[hit.start : hit.end]]

    assert hits
    if entity is not Entity.API_KEY:
        assert entity in {hit.entity for hit in hits}
        assert digest(KEY, canonical(entity, value)) in subject_candidates(value, [KEY])


ENCODERS: dict[str, Callable[[str], str]] = {
    "json": json.dumps,
    "json of json": lambda text: json.dumps([json.dumps({"t": text})]),
    "quote": quote,
    "form": lambda text: "q=" + quote_plus(text),
    "json raw": lambda text: json.dumps(text, ensure_ascii=False),
}


@pytest.mark.parametrize("encoding", ENCODERS)
@settings(max_examples=150, deadline=None)
@given(planted=PLANTED, before=st.sampled_from(["", "line\n", "tab\t", "see ", "<", '"', "\\ "]))
def test_values_are_found_inside_json_and_urls(encoding: str, planted: tuple[Entity, str], before: str) -> None:
    """A value as JSON, JSON in JSON, and in URLs: redacted, with the digest of the bare value for identifying ones."""
    entity, value = planted
    text = ENCODERS[encoding](f"{before}{value} ok")

    redacted = ALL_HASH.redact(text)

    assert ENCODERS[encoding](value).strip('"') not in redacted
    assert value not in redacted
    ambiguous = encoding == "form" and (entity is Entity.EMAIL or before == "\\ ")  # `see+bob%40x.com`, `\\+3700...`
    if entity is not Entity.API_KEY and not ambiguous:
        assert digest(KEY, canonical(entity, value)) in redacted


@settings(max_examples=150, deadline=None)
@given(planted=planted_texts(), more=st.text(max_size=20))
def test_json_stays_json(planted: tuple[str, list[str]], more: str) -> None:
    """A JSON document with values in its texts, masked: still a JSON document of the same shape."""
    document = {"a": [planted[0], more], "b": {"c": more + planted[0]}}

    for ensure_ascii in (True, False):
        redacted = json.loads(ALL_MASK.redact(json.dumps(document, ensure_ascii=ensure_ascii)))
        assert redacted["a"][1:] == [ALL_MASK.redact(more)] or more
        assert set(redacted) == {"a", "b"}
        assert len(redacted["a"]) == 2


@settings(max_examples=400, deadline=None)
@given(text=st.text(string.printable + "é日<>@:.+-%\\", max_size=60))
@example("<email:k1:00000000000000000000000000000000>@x.com")
@example("\\u0040\\")
def test_any_text_can_be_scanned(text: str) -> None:
    """Any text: hits lie within it, nothing is raised, and what is redacted is settled after one pass."""
    assert all(0 <= hit.start < hit.end <= len(text) for hit in find(text))
    once = ALL_HASH.redact(text)
    assert ALL_HASH.redact(once) == once


LOOKALIKES = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda u: u.hex),
    st.floats(allow_nan=False).map(repr),
    st.floats(0, 1).map(repr),
    st.integers(-(10**11), 10**11).map(str),
    st.datetimes().map(lambda d: d.isoformat()),
    st.datetimes().map(str),
    st.times().map(str),
    st.dates().map(str),
    st.tuples(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99)).map(lambda v: "{}.{}.{}".format(*v)),
    st.integers(0, 10**15).map(lambda n: f"ORD{n}"),
    st.integers(50, 400).map(lambda n: f"Chrome/{n}.0.0.0"),
    st.text(string.ascii_letters + " ,;!?", max_size=60),
)


@settings(max_examples=600, deadline=None)
@given(text=st.lists(LOOKALIKES, min_size=1, max_size=1).map(" | ".join))
def test_lookalikes_are_no_hits(text: str) -> None:
    """Ids, floats, ints, times, versions, order numbers and prose: never a hit."""
    assert find(text) == ()


@settings(max_examples=300, deadline=None)
@given(number=CARDS, step=st.integers(1, 9))
def test_a_wrong_check_digit_is_no_card(number: str, step: int) -> None:
    """Any card with another last digit: not valid, and the right one is."""
    compact = canonical(Entity.CARD, number)
    wrong = compact[:-1] + str((int(compact[-1]) + step) % 10)

    assert checks.card(compact)
    assert not checks.card(wrong)


@settings(max_examples=300, deadline=None)
@given(number=IBANS, at=st.integers(4, 14), step=st.integers(1, 9))
def test_one_wrong_digit_is_no_iban(number: str, at: int, step: int) -> None:
    """Any IBAN with one other digit: not valid, and the right one is."""
    compact = canonical(Entity.IBAN, number)
    if compact[at].isdigit():
        wrong = compact[:at] + str((int(compact[at]) + step) % 10) + compact[at + 1 :]
        assert not checks.iban(wrong)
    assert checks.iban(compact)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=40))
@example("\x7f\u2028\ud83d\ude00")
def test_unescaping_undoes_json(text: str) -> None:
    """Any text as a JSON string: one layer of unescaping gives the text, and positions map there and back."""
    source = json.dumps(text)
    inner = Unescaped(source)

    assert json.loads(source) == inner.text[1:-1].encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    for position in range(len(inner.text)):
        written = inner.source_of(position)
        assert not inner.splits(written)
        assert inner.target_of(written) == position
    assert inner.source_of(len(inner.text)) == len(source)
