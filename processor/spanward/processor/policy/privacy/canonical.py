"""One written form for each value, so that the same person has the same digest however the value was typed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Final

from spanward.processor.policy.privacy.entities import Entity

_NOT_DIGITS: Final = re.compile(r"[^0-9]+")
_NOT_ALNUM: Final = re.compile(r"[^0-9A-Za-z]+")
_NANP_DIGITS: Final = 10


def canonical(entity: Entity, text: str) -> str:
    """The form of a found value that is digested.

    email: trimmed, lower case. phone: `+` and digits, of North American numbers with the 1. ipv4,
    ipv6: canonical, an IPv4-mapped address as IPv4. card, us_ssn, iban: letters and digits only, upper case. All
    else: trimmed.
    """
    return _FORMS.get(entity, str.strip)(text)


def email(text: str) -> str:
    """`Alice@Example.com ` -> `alice@example.com`."""
    return text.strip().lower()


def phone(text: str) -> str:
    """`(415) 555-2671` and `+1 415 555 2671` -> `+14155552671`."""
    digits = _NOT_DIGITS.sub("", text)
    if "+" not in text and len(digits) == _NANP_DIGITS and digits[0] >= "2":
        return "+1" + digits
    return "+" + digits


def address(text: str) -> str:
    """`2001:DB8:0::1` -> `2001:db8::1`; `::ffff:192.0.2.1` -> `192.0.2.1`; what is no address is only trimmed."""
    word = text.strip()
    try:
        parsed = ipaddress.ip_address(word)
    except ValueError:
        return word
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def compact(text: str) -> str:
    """`DE89 3704 0044` -> `DE8937040044`."""
    return _NOT_ALNUM.sub("", text).upper()


_FORMS: Final[MappingProxyType[Entity, Callable[[str], str]]] = MappingProxyType(
    {
        Entity.EMAIL: email,
        Entity.PHONE: phone,
        Entity.IPV4: address,
        Entity.IPV6: address,
        Entity.CARD: compact,
        Entity.US_SSN: compact,
        Entity.IBAN: compact,
    },
)
