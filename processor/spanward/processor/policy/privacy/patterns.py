"""The table of what is looked for: per pattern a regex and a check.

The regexes are plain: no look-around, no back references, no flags, bounded or deterministic repeats, so that a scan is
linear and any engine with leftmost-first matching gives the same results. Group 1, where there is one, is the match;
what is before it is the boundary that the match needs. What the regex cannot say is in the check.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from spanward.processor.policy.privacy import addresses, numbers, secrets
from spanward.processor.policy.privacy.entities import Entity
from spanward.processor.policy.privacy.numbers import Answer


@dataclass(frozen=True, slots=True)
class Pattern:
    """One way in which an entity is written.

    Attributes:
        entity: what a match is.
        regex: finds candidates.
        check: (text, start, end) of a candidate to the bounds of the hit or the position to search on from.
    """

    entity: Entity
    regex: re.Pattern[str]
    check: Callable[[str, int, int], Answer]


def any_case(word: str) -> str:
    """A regex for an ASCII word in any letter case; spelled out, for what a flag means differs between engines."""
    return "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else re.escape(c) for c in word)


_L: Final = "A-Za-z0-9\u00c0-\u02af\u0370-\u058f"  # letters of the scripts that put spaces between words, and digits
_TLD: Final = "A-Za-z\u00c0-\u02af\u0370-\u058f"
_KEY_START: Final = "(?:^|[^A-Za-z0-9])"
_SECRET_NAMES: Final = "(?:{})".format(
    "|".join(
        any_case(first) + "[_-]?" + any_case(second) if second else any_case(first)
        for first, second in (
            ("password", ""),
            ("passwd", ""),
            ("passphrase", ""),
            ("secret", ""),
            ("secret", "key"),
            ("api", "key"),
            ("access", "key"),
            ("private", "key"),
            ("access", "token"),
            ("refresh", "token"),
            ("id", "token"),
            ("auth", "token"),
            ("session", "token"),
            ("authorization", ""),
        )
    ),
)


def _pattern(entity: Entity, check: Callable[[str, int, int], Answer], *regex: str) -> Pattern:
    return Pattern(entity, re.compile("".join(regex)), check)


_UNSURE_NAMES: Final = "(?:^|[^A-Za-z0-9_-])(?:{})".format(
    "|".join(any_case(name) for name in ("token", "pwd", "cookie", "set-cookie"))
)
_HEADERS: Final = "(?:{})".format(
    "|".join(any_case(name) for name in ("api-key", "auth-token", "password", "passwd")),
)

ASSIGNED: Final = (
    _pattern(Entity.CREDENTIAL, secrets.assigned, _SECRET_NAMES, r'"[ ]?:[ ]?"((?:[^"\\]|\\[^\n])+)'),
    _pattern(Entity.CREDENTIAL, secrets.assigned, _SECRET_NAMES, r"'[ ]?:[ ]?'((?:[^'\\]|\\[^\n])+)"),
    _pattern(Entity.CREDENTIAL, secrets.assigned_random, _UNSURE_NAMES, r"""["']?[ ]?[=:][ ]?["']([^"'\\ \n]+)"""),
    _pattern(Entity.CREDENTIAL, secrets.assigned_random, _UNSURE_NAMES, r"""=([^ \t\r\n"'&;,<>(){}\[\]\\]+)"""),
    _pattern(Entity.CREDENTIAL, secrets.assigned_random, _HEADERS, r"""[ ]?:[ ]([^ \t\r\n"',<>(){}\[\]\\]+)"""),
    _pattern(Entity.CREDENTIAL, secrets.assigned_random, any_case("cookie"), r""":[ ]?([^\r\n"'<>\\]+)"""),
    _pattern(Entity.CREDENTIAL, secrets.assigned, _SECRET_NAMES, r"""=["']?([^ \t\r\n"'&;,<>(){}\[\]\\]+)"""),
)
API_KEYS: Final = (
    _pattern(Entity.API_KEY, secrets.whole_word, _KEY_START, "((?:AKIA|ASIA)[A-Z0-9]{16})"),
    _pattern(Entity.API_KEY, secrets.whole_word, _KEY_START, "(AIza[A-Za-z0-9_-]{35})"),
    _pattern(Entity.API_KEY, secrets.mixed_word, _KEY_START, "(gh[pousr]_[A-Za-z0-9]{36,255})"),
    _pattern(Entity.API_KEY, secrets.mixed_word, _KEY_START, "(github_pat_[A-Za-z0-9_]{22,255})"),
    _pattern(Entity.API_KEY, secrets.mixed_word, _KEY_START, "(glpat-[A-Za-z0-9_-]{20,255})"),
    _pattern(Entity.API_KEY, secrets.mixed_word, _KEY_START, "(xox[abeoprs]-[A-Za-z0-9-]{10,255})"),
    _pattern(Entity.API_KEY, secrets.mixed_word, _KEY_START, "([rs]k_(?:live|test)_[A-Za-z0-9]{16,255})"),
    _pattern(Entity.API_KEY, secrets.mixed_run, _KEY_START, "(sk-[A-Za-z0-9_-]{20,255})"),
    _pattern(Entity.API_KEY, secrets.mixed_word, _KEY_START, "(hf_[A-Za-z0-9]{30,255})"),
    _pattern(Entity.API_KEY, secrets.mixed_word, _KEY_START, "(npm_[A-Za-z0-9]{36})"),
)
PRIVATE_KEY: Final = (_pattern(Entity.API_KEY, secrets.private_key, "-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----"),)
JWT: Final = (
    _pattern(
        Entity.JWT,
        secrets.whole_word,
        r"(?:^|[^A-Za-z0-9_-])(eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){1,3})",
    ),
)
AUTHORIZATION: Final = (
    _pattern(
        Entity.BEARER_TOKEN,
        secrets.authorization,
        _KEY_START,
        f"((?:{any_case('bearer')}|{any_case('basic')})[ ]{{1,4}}[A-Za-z0-9._~+/=-]{{4,}})",
    ),
)
AT_SIGN: Final = (
    _pattern(
        Entity.CREDENTIAL_URL,
        secrets.in_url,
        r"""://([^ \t\r\n/?#@:"'<>]{0,256}:[^ \t\r\n/?#@"'<>]{1,256}@[A-Za-z0-9._-]{1,255})""",
    ),
    _pattern(Entity.EMAIL, addresses.email, f"[{_L}._+-]{{1,64}}@(?:[{_L}][{_L}-]{{0,62}}\\.){{1,8}}[{_TLD}]{{2,24}}"),
)
IBANS: Final = (_pattern(Entity.IBAN, numbers.iban, "[A-Za-z]{2}[0-9]{2}[ ]?[A-Za-z0-9]{4}"),)
DIGITS: Final = (
    _pattern(
        Entity.CARD,
        numbers.card,
        "[0-9]{13,19}|[0-9]{4}(?:[ -][0-9]{4}){2,3}[ -][0-9]{1,4}|",
        "[0-9]{4}[ -][0-9]{6}[ -][0-9]{4,5}|[0-9]{8}[ -][0-9]{8}",
    ),
    _pattern(Entity.US_SSN, numbers.us_ssn, "[0-9]{3}(?:-[0-9]{2}-| [0-9]{2} )[0-9]{4}"),
    _pattern(
        Entity.PHONE,
        numbers.national,
        r"(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[ .-])[0-9]{3}[ .-][0-9]{4}",
    ),
    _pattern(Entity.PHONE, numbers.pairs, "0[1-9](?:[ .-][0-9]{2}){4}"),
)
PLUS: Final = (_pattern(Entity.PHONE, numbers.international, r"\+[1-9](?:[ .()-]{0,2}[0-9]){7,14}"),)
DOTS: Final = (_pattern(Entity.IPV4, addresses.ipv4, r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"),)
COLONS: Final = (
    _pattern(
        Entity.IPV6,
        addresses.ipv6,
        r"(?:[0-9A-Fa-f]{1,4})?(?::[0-9A-Fa-f]{0,4}){2,7}(?:(?:\.[0-9]{1,3}){3})?",
    ),
)
