"""Attribute keys that say by themselves that their value is a secret, whatever it looks like.

A rule's pattern is searched in the folded key: letter case and the choice between `.`, `_`, `-` and camel case do not
matter, so `http.request.header.X-Api-Key`, `x_api_key` and `xApiKey` all fold to something that ends in `x_api_key`.
"""

from __future__ import annotations

import re
from typing import Final

from spanward.processor.policy.privacy.entities import Entity

_HUMP: Final = re.compile(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])")
_SEPARATORS: Final = re.compile(r"[^0-9a-z]+")

_COUNTED: Final = "first|last|input|output|per|prompt|completion|total|cached|reasoning|max|min|to"
_PAGING: Final = "next|page|sync|continuation"
_SPECIAL: Final = "eos|bos|pad|unk|sep|cls|mask|stop|start|end|special"

BUILT_IN: Final[tuple[tuple[str, str, Entity], ...]] = (
    # pattern, unless, entity
    (r"(^|_)authorization$", "", Entity.CREDENTIAL),
    (r"(^|_)(password|passwd|passphrase|pwd)(_hash|_value)?$", "", Entity.CREDENTIAL),
    (r"(^|_)secrets?(_access)?(_key|_value)?$", "", Entity.CREDENTIAL),
    (r"(^|_)(api|access|private|signing|encryption|session|ssh)_?key(_value)?$", "", Entity.CREDENTIAL),
    (
        r"(^|_)token$",
        rf"(^|_)({_COUNTED}|{_PAGING}|{_SPECIAL})_token$",
        Entity.CREDENTIAL,
    ),
    (r"(^|_)(access|refresh|id|auth|session|bearer)token$", "", Entity.CREDENTIAL),
    (r"(^|_)(set_)?cookies?$", "", Entity.CREDENTIAL),
    (r"(^|_)(credentials?|connection_string)$", "", Entity.CREDENTIAL),
    (r"(^|_)(cvv2?|cvc2?|card_verification_(code|value))$", "", Entity.CREDENTIAL),
    (r"(^|_)(ssn|social_security(_number)?)$", "", Entity.US_SSN),
    (r"(^|_)(card_?number|credit_?card_?number|cc_?number|card_?pan)$", "", Entity.CARD),
)
"""What the policy knows without being told. Counts of tokens (`gen_ai.usage.input_tokens`), their kinds
(`gen_ai.token.type`) and names of special tokens (`eos_token`) are no secrets."""


def fold(key: str) -> str:
    """The form of a key that rules are matched with: lower case, `_` for every separator and camel hump."""
    humps = _HUMP.sub(lambda m: f"{m[1] or m[3]}_{m[2] or m[4]}", key)
    return _SEPARATORS.sub("_", humps.lower()).strip("_")
