"""The kinds of thing the policy looks for, and what it can do about one."""

from __future__ import annotations

from enum import StrEnum
from types import MappingProxyType
from typing import Final


class Entity(StrEnum):
    """Entity types; the value is the id used in policies, tokens, columns and counters.

    Their order settles which one a stretch of text is called when two claim it with equal right: the earlier.
    """

    CREDENTIAL = "credential"
    API_KEY = "api_key"
    JWT = "jwt"
    BEARER_TOKEN = "bearer_token"  # noqa: S105 - the name of a type
    CREDENTIAL_URL = "credential_url"
    CARD = "card"
    US_SSN = "us_ssn"
    IBAN = "iban"
    EMAIL = "email"
    PHONE = "phone"
    IPV6 = "ipv6"
    IPV4 = "ipv4"


ORDER: Final = MappingProxyType({entity: position for position, entity in enumerate(Entity)})

IDENTIFYING: Final = frozenset(
    {Entity.CARD, Entity.US_SSN, Entity.IBAN, Entity.EMAIL, Entity.PHONE, Entity.IPV6, Entity.IPV4},
)
"""Types whose value points at a person: each one found becomes a subject of the span. Secrets point at none."""

DECLARED: Final = "declared"
"""Stands in a span's `pii` when its sender says that it holds personal data of a type the policy does not know."""

UNCHECKED: Final = "unchecked"
"""Stands in `pii` when the policy could not look and has therefore withheld the text."""

WITHHELD: Final = "<withheld>"
"""Stands where text was that could not be checked."""


class Action(StrEnum):
    """What is done with a value that was found.

    `tag` leaves it and records its type; `hash` puts a keyed token in its place, by which it can be looked up; `mask`
    puts the name of its type; `drop` removes the attribute it stands in.
    """

    TAG = "tag"
    HASH = "hash"
    MASK = "mask"
    DROP = "drop"


STRENGTH: Final = MappingProxyType({action: rank for rank, action in enumerate(Action)})
"""Position in the order of protection, 0 for the weakest."""

DEFAULT_ACTIONS: Final = MappingProxyType(
    {
        Entity.CREDENTIAL: Action.DROP,
        Entity.API_KEY: Action.DROP,
        Entity.JWT: Action.DROP,
        Entity.BEARER_TOKEN: Action.DROP,
        Entity.CREDENTIAL_URL: Action.DROP,
        Entity.CARD: Action.MASK,
        Entity.US_SSN: Action.MASK,
        Entity.IBAN: Action.MASK,
        Entity.EMAIL: Action.HASH,
        Entity.PHONE: Action.HASH,
        Entity.IPV6: Action.HASH,
        Entity.IPV4: Action.HASH,
    },
)
