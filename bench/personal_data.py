"""Made-up personal data that looks real: checksums hold, ranges are those in use, spelling varies."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from bench.vocabulary import FIRST_NAMES, LAST_NAMES, MAIL_DOMAINS


def email(random: Random) -> str:
    """An address such as `erin.kim7@example.com`."""
    person = f"{random.choice(FIRST_NAMES)}.{random.choice(LAST_NAMES)}{random.randrange(100)}"
    return f"{person}@{random.choice(MAIL_DOMAINS)}"


def phone(random: Random) -> str:
    """A North American number in one of four spellings."""
    area, office, line = random.randrange(201, 990), random.randrange(201, 999), f"{random.randrange(10_000):04d}"
    return random.choice(
        (
            f"+1-{area}-{office}-{line}",
            f"({area}) {office}-{line}",
            f"{area}-{office}-{line}",
            f"{area}.{office}.{line}",
        )
    )


def card(random: Random) -> str:
    """A card number of 16 digits whose Luhn sum is right, plain or in groups."""
    digits = [4, *(random.randrange(10) for _ in range(14))]
    digits.append(-sum(_luhn_weight(place, digit) for place, digit in enumerate(digits)) % 10)
    text = "".join(map(str, digits))
    return random.choice(("", " ", "-")).join(text[start : start + 4] for start in range(0, 16, 4))


def ssn(random: Random) -> str:
    """A US social security number of an area that is given out."""
    area = random.choice((random.randrange(1, 666), random.randrange(667, 900)))
    return f"{area:03d}-{random.randrange(1, 100):02d}-{random.randrange(1, 10_000):04d}"


def ipv4(random: Random) -> str:
    """A public-looking address."""
    return f"{random.randrange(11, 127)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


def _luhn_weight(place: int, digit: int) -> int:
    """What a digit adds to the Luhn sum of 16 digits, `place` counted from the left: every other one is doubled."""
    return digit if place % 2 else sum(divmod(digit * 2, 10))


KINDS: Final[dict[str, tuple[str, Callable[[Random], str]]]] = {
    "email": ("my email is ", email),
    "phone": ("call me at ", phone),
    "card": ("card number ", card),
    "ssn": ("SSN ", ssn),
    "ipv4": ("from host ", ipv4),
}
"""Type of personal data -> how a prompt leads up to it, and its maker."""
