"""Checksums and number plans: what a regex cannot say of a match."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_CARD_LENGTHS: Final = range(13, 20)
_LONG: Final = range(16, 20)

_ISSUERS: Final[tuple[tuple[int, int, int, frozenset[int]], ...]] = (
    # digits of the prefix, first, last, lengths of the whole number
    (1, 4, 4, frozenset({13, 16, 19})),  # Visa
    (2, 51, 55, frozenset({16})),  # Mastercard
    (4, 2221, 2720, frozenset({16})),
    (2, 34, 34, frozenset({15})),  # American Express
    (2, 37, 37, frozenset({15})),
    (4, 6011, 6011, frozenset(_LONG)),  # Discover
    (3, 644, 649, frozenset(_LONG)),
    (2, 65, 65, frozenset(_LONG)),
    (2, 62, 62, frozenset(_LONG)),  # UnionPay
    (4, 3528, 3589, frozenset(_LONG)),  # JCB
    (3, 300, 305, frozenset(range(14, 20))),  # Diners Club
    (2, 36, 36, frozenset(range(14, 20))),
    (2, 38, 39, frozenset(range(14, 20))),
    (4, 5018, 5018, frozenset(_CARD_LENGTHS)),  # Maestro
    (4, 5020, 5020, frozenset(_CARD_LENGTHS)),
    (4, 5038, 5038, frozenset(_CARD_LENGTHS)),
    (4, 5893, 5893, frozenset(_CARD_LENGTHS)),
    (4, 6304, 6304, frozenset(_CARD_LENGTHS)),
    (4, 6759, 6763, frozenset(_CARD_LENGTHS)),
    (4, 2200, 2204, frozenset(_LONG)),  # Mir
    (2, 60, 60, frozenset({16})),  # RuPay
    (3, 508, 508, frozenset({16})),
    (2, 81, 82, frozenset({16})),
)

_IBAN_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FK FO FI GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK MN",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}
_IBAN_LENGTHS: Final[Mapping[str, int]] = MappingProxyType(
    {country: length for length, countries in _IBAN_COUNTRIES.items() for country in countries.split()},
)
"""Country -> characters of its IBANs, from the SWIFT registry."""

_MOD_97_REMAINDER: Final = 1
_NINE: Final = 9


def luhn(digits: str) -> bool:
    """Whether the last digit is the ISO/IEC 7812 check digit of those before it."""
    total = 0
    for position, digit in enumerate(map(int, reversed(digits))):
        double = digit * 2 if position % 2 else digit
        total += double - _NINE if double > _NINE else double
    return total % 10 == 0


def card(digits: str) -> bool:
    """Whether these digits, 13 to 19 of them, are a number that a known issuer gives out, check digit included."""
    return _issued(digits) and luhn(digits)


def _issued(digits: str) -> bool:
    length = len(digits)
    return length in _CARD_LENGTHS and any(
        length in lengths and first <= int(digits[:width]) <= last for width, first, last, lengths in _ISSUERS
    )


def iban_length(country: str) -> int | None:
    """How many characters the IBANs of a country have; None for one that has none."""
    return _IBAN_LENGTHS.get(country.upper())


def iban(compact: str) -> bool:
    """Whether these letters and digits have their country's length and the right ISO 13616 check digits (mod 97)."""
    if iban_length(compact[:2]) != len(compact):
        return False
    turned = compact[4:] + compact[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == _MOD_97_REMAINDER


def us_ssn(digits: str) -> bool:
    """Whether nine digits are in the ranges that have been given out as social security numbers."""
    return digits[:3] not in {"000", "666"} and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000"
