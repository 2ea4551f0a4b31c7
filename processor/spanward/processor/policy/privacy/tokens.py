"""The tokens that stand where personal data was.

    <card>                                    masked, or dropped out of text that is not an attribute
    <email:k1:9b74c9897bac770ffc029102a200c5de>   hashed with the key k1

A token says its own type, so that a span that passes the policy twice, in the application and in the sidecar, comes out
as it went in and is labelled the same.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from typing import Final

from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.privacy import canonical
from spanward.processor.policy.privacy.entities import Entity

_TYPES: Final = "|".join(Entity)
TOKEN: Final = re.compile(rf"<({_TYPES})(?::([A-Za-z0-9_-]{{1,32}}:[0-9a-f]{{32}}))?>")
"""A token; group 1 is the type, group 2 `keyid:digest` of a hashed one."""

SUBJECT: Final = re.compile(r"[A-Za-z0-9_-]{1,32}:[0-9a-f]{32}")
"""A subject: `keyid:digest`."""

_DIGEST_BYTES: Final = 16


def digest(key: HashKey, value: str) -> str:
    """`keyid:` and the first 16 bytes of HMAC-SHA256(secret, value) in lowercase hex."""
    code = hmac.digest(key.secret, value.encode("utf-8", "surrogatepass"), "sha256")
    return f"{key.id}:{code[:_DIGEST_BYTES].hex()}"


def masked(entity: Entity) -> str:
    """The token without a digest."""
    return f"<{entity.value}>"


def hashed(entity: Entity, subject: str) -> str:
    """The token of a value whose `digest` is `subject`."""
    return f"<{entity.value}:{subject}>"


def subject_candidates(value: str, keys: Iterable[HashKey]) -> list[str]:
    """Every subject under which a person known by `value` can stand in the table.

    Args:
        value: an email, phone number, card, IBAN, address or person id, in any of its usual forms; or a token, which
            answers for itself.
        keys: all keys that are still alive.

    Returns:
        Subjects without repeats; each key's are together, in the order of the keys.
    """
    token = TOKEN.fullmatch(value.strip())
    if token is not None:
        return [token[2]] if token[2] else []
    if SUBJECT.fullmatch(value.strip()):
        return [value.strip()]
    forms = [value.strip(), canonical.email(value), canonical.address(value), canonical.compact(value)]
    if any(character.isdigit() for character in value):
        forms.append(canonical.phone(value))
    return list(dict.fromkeys(digest(key, form) for key in keys for form in dict.fromkeys(forms) if form))
