"""Checks of matches that look like addresses: email, IPv4, IPv6. See `numbers` for the contract."""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from spanward.processor.policy.privacy.bounds import WORD, at, is_number
from spanward.processor.policy.privacy.numbers import Answer

_LOCAL_PART: Final = frozenset("._+-") | WORD
_LONGEST_LOCAL: Final = 64
_LEADING: Final = frozenset(".+-")
_REPOSITORIES: Final = "git"  # git@github.com:org/repo is how a forge is called, nobody's address
_IMAGE: Final = re.compile(r"[0-9]+[xX]\.[A-Za-z]+")  # icon@2x.png
_OCTET: Final = 255

_PRODUCT: Final = re.compile(r"(?:^|[ (;,\"'])[A-Za-z][A-Za-z0-9_.-]{0,31}/$")
_VERSION_WORD: Final = re.compile(
    r"(?:[Vv]ersion|VERSION|[Rr]elease|RELEASE|[Bb]uild|BUILD|[Ff]irmware|[Dd]river|[?&]v(?:er)?=|\.NET)"
    r"[\"']?[ ]?[:=]?[ ]?[\"']?$",
)
_PRE_RELEASE: Final = re.compile(r"-(?:alpha|beta|rc|snapshot|SNAPSHOT|preview|dev)")
_LOOK_BACK: Final = 36
_FEW_GROUPS: Final = 4
_LONG_GROUP: Final = 3


def email(text: str, start: int, end: int) -> Answer:
    """The whole local part, however long; not the name of an image for screens of double density."""
    sign = text.index("@", start)
    if _IMAGE.fullmatch(text, sign + 1, end):
        return end
    if sign - start >= _LONGEST_LOCAL:
        while at(text, start - 1) in _LOCAL_PART:
            start -= 1
    while text[start] in _LEADING:
        start += 1
    return (start, end) if start < sign and text[start:sign] != _REPOSITORIES else end


def ipv4(text: str, start: int, end: int) -> Answer:
    """Four octets without leading zeros that are neither part of a longer dotted number nor a version."""
    octets = text[start:end].split(".")
    if not is_number(text, start, end) or any(int(o) > _OCTET or (o[0] == "0" and o != "0") for o in octets):
        return start + 1
    before = text[max(0, start - _LOOK_BACK) : start]
    if _PRE_RELEASE.match(text, end) or _VERSION_WORD.search(before):
        return end
    if octets[-1] == "0" and _PRODUCT.search(before):
        return end
    return start, end


def ipv6(text: str, start: int, end: int) -> Answer:
    """An address that cannot be a time, a slice, a MAC address, a fingerprint or a path of names in code."""
    if text[end - 1] == ":" and text[end - 2] != ":":
        end -= 1
    word = text[start:end]
    if _touches(text, start, end) or not _looks_like_ipv6(word):
        return end
    try:
        ipaddress.IPv6Address(word)
    except ValueError:
        return end
    return start, end


def _touches(text: str, start: int, end: int) -> bool:
    before, after = at(text, start - 1), at(text, end)
    if before in WORD or before in {":", "."} or after in WORD:
        return True
    return after == ":" and (at(text, end + 1) in WORD or at(text, end + 1) == ":")


def _looks_like_ipv6(word: str) -> bool:
    groups = [group for group in word.split(":") if group]
    if not any(character.isdigit() for character in word):
        return False
    if "::" not in word:
        return any(len(group) >= _LONG_GROUP for group in groups)
    return "." in word or len(groups) >= _FEW_GROUPS or (bool(groups) and len(groups[0]) >= _LONG_GROUP)
