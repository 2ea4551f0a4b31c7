"""Customers for the checkout service: real HTTP requests with invented personal data.

Each field of a customer has the form and the check digits of the real thing, and belongs to nobody.

    python examples/checkout/drive.py --url http://127.0.0.1:8000 --requests 200 --json

Prints what came of the requests and, with --json, every raw personal value that was sent, by type: whoever wants to
prove that none of them was stored searches for these.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

FIRST = (
    "alice",
    "bojan",
    "chidi",
    "dana",
    "emre",
    "fatima",
    "goran",
    "hana",
    "ivo",
    "jana",
    "kofi",
    "lena",
    "mira",
    "nils",
)
LAST = ("novak", "okafor", "petersen", "quinn", "rossi", "silva", "tanaka", "ueda", "varga", "weber", "xu", "yilmaz")
DOMAINS = ("example.com", "example.org", "mail.example.net", "shop.example.io")


SKUS = ("notebook", "fountain-pen", "ink-blue", "desk-lamp", "paper-a4", "stapler", "chair", "tea")
NOTES = (
    "Please call me at {phone} before delivery.",
    "Send the invoice to {email}, thanks!",
    "My old card {card} still works as well.",
    "I ordered from {ipv4} and the page was slow.",
    "Ring twice.",
)


@dataclass(frozen=True, slots=True)
class Person:
    """One customer; every field but `name` is personal data that must not be stored as it is."""

    name: str
    email: str
    phone: str
    card: str
    us_ssn: str
    iban: str
    ipv4: str

    def personal(self) -> dict[str, str]:
        """The raw values by the entity type under which the policy knows them."""
        return {
            "email": self.email,
            "phone": self.phone,
            "card": self.card,
            "us_ssn": self.us_ssn,
            "iban": self.iban,
            "ipv4": self.ipv4,
        }


def invent(rng: random.Random) -> Person:
    """The next person of this generator: the same seed gives the same people."""
    first, last = rng.choice(FIRST), rng.choice(LAST)
    area = rng.choice((rng.randrange(101, 665), rng.randrange(667, 899)))
    return Person(
        name=f"{first.title()} {last.title()}",
        email=f"{first}.{last}{rng.randrange(1000, 9999)}@{rng.choice(DOMAINS)}",
        phone=f"+1-{rng.randrange(201, 990)}-{rng.randrange(201, 999)}-{rng.randrange(1000, 9999)}",
        card=card_number(rng),
        us_ssn=f"{area}-{rng.randrange(10, 99)}-{rng.randrange(1000, 9999)}",
        iban=german_iban(rng),
        ipv4=f"{rng.randrange(20, 99)}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
    )


def card_number(rng: random.Random) -> str:
    """Sixteen digits of a card whose Luhn sum is right."""
    digits = [4, *(rng.randrange(10) for _ in range(14))]
    doubled = [digit * 2 - 9 * (digit > 4) if place % 2 == 0 else digit for place, digit in enumerate(digits)]
    return "".join(map(str, digits)) + str(-sum(doubled) % 10)


def german_iban(rng: random.Random) -> str:
    """Twenty-two characters whose remainder by 97 is right."""
    account = "".join(str(rng.randrange(10)) for _ in range(18))
    check = 98 - int(f"{account}131400") % 97  # D is 13, E is 14, and the check digits count as 00
    return f"DE{check:02d}{account}"


@dataclass(slots=True)
class Report:
    """What came of a drive.

    Attributes:
        statuses: HTTP status code -> answers; 402 is a declined card.
        personal: entity type -> the distinct raw values that were sent, in order.
    """

    statuses: Counter[int] = field(default_factory=Counter[int])
    personal: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def note(self, person: Person) -> None:
        """Remember what was sent of a person."""
        for kind, value in person.personal().items():
            values = self.personal.setdefault(kind, [])
            if value not in values:
                values.append(value)

    def values(self) -> list[str]:
        """Every raw value that was sent."""
        return [value for values in self.personal.values() for value in values]

    def to_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "requests": self.statuses.total(),
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "personal": self.personal,
        }


def make_order(person: Person, rng: random.Random) -> dict[str, Any]:
    """The body of one request."""
    return {
        "customer_id": f"cust-{rng.randrange(100_000, 999_999)}",
        "session_id": f"sess-{rng.randrange(16**8):08x}",
        "name": person.name,
        "email": person.email,
        "phone": person.phone,
        "card": person.card,
        "ssn": person.us_ssn,
        "iban": person.iban,
        "ip": person.ipv4,
        "note": rng.choice(NOTES).format_map(person.personal()),
        "items": [
            {"sku": rng.choice(SKUS), "quantity": rng.randrange(1, 4), "price": round(rng.uniform(1, 80), 2)}
            for _ in range(rng.randrange(1, 4))
        ],
    }


async def drive(
    url: str,
    requests: int,
    *,
    seed: int = 7,
    in_flight: int = 8,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Send that many checkouts, so many at a time, and say what was sent; the same seed sends the same orders.

    Args:
        url: the service's base URL.
        requests: how many.
        seed: of the invented people and orders.
        in_flight: requests at the same time.
        progress: called with the number of answers so far.

    Raises:
        ExceptionGroup: of httpx.HTTPError, when the service cannot be reached.
    """
    rng = random.Random(seed)
    report = Report()
    room = asyncio.Semaphore(in_flight)

    async def send(client: httpx.AsyncClient, body: dict[str, Any], request_id: str) -> None:
        async with room:
            answer = await client.post(f"{url.rstrip('/')}/checkout", json=body, headers={"x-request-id": request_id})
            report.statuses[answer.status_code] += 1
            if progress is not None:
                progress(report.statuses.total())

    async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as tasks:
        for _ in range(requests):
            person = invent(rng)
            report.note(person)
            request_id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
            tasks.create_task(send(client, make_order(person, rng), request_id))
    return report


def main() -> None:
    """Drive a service from the command line; exit code 1 when any answer was neither 200 nor 402."""
    parser = argparse.ArgumentParser(description="send invented checkouts to the service")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--in-flight", type=int, default=8)
    parser.add_argument("--json", action="store_true", help="print the report with every raw value that was sent")
    options = parser.parse_args()
    try:
        report = asyncio.run(drive(options.url, options.requests, seed=options.seed, in_flight=options.in_flight))
    except* httpx.HTTPError as errors:
        sys.exit(f"the service at {options.url} cannot be driven: {errors.exceptions[0]}")
    if options.json:
        print(json.dumps(report.to_json()))
    else:
        print(
            f"{report.statuses.total()} requests: {dict(report.statuses)}; {len(report.values())} personal values sent"
        )
    sys.exit(0 if set(report.statuses) <= {200, 402} else 1)


if __name__ == "__main__":
    main()
