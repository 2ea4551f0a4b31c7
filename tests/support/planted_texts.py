"""Texts that are full of what the policy looks for, nearly looks like it, or hides it."""

from __future__ import annotations

import json
from typing import Final

from hypothesis import strategies as st

FRAGMENTS: Final = (
    "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1112", "378282246310005", "3782 822463 10005",
    "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "GB29NWBK60161331926819", "NO9386011117947",
    "+14155552671", "+49 30 901820", "(415) 555-2671", "415-555-2671", "1-415-555-2671", "415 555 2671",
    "01 23 45 67 89", "06.12.34.56.78", "123-45-6789", "123 45 6789", "000-12-3456",
    "alice@example.com", "bob.smith+x@mail.example.co.uk", "git@github.com", "icon@2x.png", "müller@exämple.de",
    "192.168.1.1", "10.0.0.1", "127.0.0.1", "1.2.3.4.5", "256.1.1.1", "version 1.2.3.4", "Chrome/120.0.0.0",
    "1.2.3.4-rc1", "2001:db8::1", "fe80::1ff:fe23:4567:890a", "::ffff:192.0.2.1", "12:34:56", "std::vec::Vec",
    "00:1A:2B:3C:4D:5E", "AKIAIOSFODNN7EXAMPLE", "AIzaSyA-1234567890abcdefghijklmnopqrstu",
    "ghp_abcdefghijklmnopqrstuvwxyz0123456789", "sk-abcDEF123456789012345678", "xoxb-123456789012-abcdef",
    "hf_abcdefghijklmnopqrstuvwxyz012345", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_def",
    "Bearer abcdef1234567890", "Basic dXNlcjpwYXNz", "basic YWJj", "password=hunter2", '"password": "s3cr3t!"',
    "'api_key': 'abc123'", "token=abc123def", "Authorization: Bearer abcdefghijklmnop1", "cookie: sid=abc123",
    "secret='x1'", "pwd=true", "password=:param", "https://user:pass@host.example/p", "postgres://u:p4ss@db/x",
    "-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----",
    "<email:k1:0123456789abcdef0123456789abcdef>", "<card>", "<credential>", "<credential_url>",
    r"\n", r"\u0040", r"\u00e9", r"\ud83d", "%40", "%20", "%2B", "+", "=", " ", ".", ",", ":", ";", "-", "_", "/", "\n",
    '"', "'", "(", ")", "[", "]", "{", "}", "<", ">", "&", "@", "\\", "%", "x", "X", "é", "中", "ß", "İ", "K",
    "\u2010", "\u00a0", "\uff11", "\uff20", "\uff0b", "hello", "world", "user", "key", "pass",
    "2026-11-21T15:54:06.123Z", "550e8400-e29b-41d4-a716-446655440000", "3.14159265358979", "order 12345678",
    "0", "1", "9", "00", "12", "123", "4567", "a", "b", "Z", "q=alice%40example.com+x", "1+415+555+2671",
)  # fmt: skip

_MUTATIONS: Final = st.lists(
    st.tuples(st.integers(0, 200), st.integers(0, 3), st.sampled_from([*FRAGMENTS, *"0123456789 .-:@"])), max_size=3
)


def _mutated(text: str, mutations: list[tuple[int, int, str]]) -> str:
    for place, cut, insert in mutations:
        at = place % (len(text) + 1)
        text = text[:at] + insert + text[at + cut :]
    return text


_JOINED: Final = st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=6).map("".join)
PLANTED_TEXTS: Final = st.one_of(
    _JOINED,
    st.builds(_mutated, _JOINED, _MUTATIONS),
    _JOINED.map(lambda text: json.dumps({"k": text})),
    st.text(max_size=12),
)
"""Texts without lone surrogates but for those of `st.text`."""
