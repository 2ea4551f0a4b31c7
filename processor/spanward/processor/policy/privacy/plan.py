"""The privacy options, compiled: what holds for a key, which values are let through, which action an entity gets."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from types import MappingProxyType
from typing import Final, TypeAlias

from spanward.processor.policy.labels import Classification
from spanward.processor.policy.options import KeyRule, Limits, Privacy
from spanward.processor.policy.privacy.canonical import canonical
from spanward.processor.policy.privacy.detect import CLEAN, Hit, Hits, find
from spanward.processor.policy.privacy.entities import DEFAULT_ACTIONS, STRENGTH, Action, Entity
from spanward.processor.policy.privacy.key_rules import BUILT_IN, fold

Actions: TypeAlias = Mapping[Entity, Action]

_NOTHING: Final[frozenset[Entity]] = frozenset()
_MAX_KEYS: Final = 8192
_ADDRESSES: Final = frozenset({Entity.IPV4, Entity.IPV6})


@dataclass(frozen=True, slots=True)
class KeyPlan:
    """What holds for the values of one attribute key.

    Attributes:
        rule: the key rule that matches, or None.
        expected: types that are not reported in the value.
        person: True when the value is a person's id.
        hits: what was found in the key itself.
    """

    rule: KeyRule | None = None
    expected: frozenset[Entity] = _NOTHING
    person: bool = False
    hits: Hits = CLEAN


NO_KEY: Final = KeyPlan()
"""The plan of a key that asks for nothing special, as nearly all do; also of text that has no key."""


class PrivacyPlan:
    """The compiled options. Safe to share between threads."""

    def __init__(self, options: Privacy, limits: Limits) -> None:
        self.limits = limits
        self.actions: Mapping[Classification, Actions] = MappingProxyType(
            {label: _resolve(options, label) for label in Classification},
        )
        self.shared_actions: Actions = _strongest(self.actions)
        built_in = BUILT_IN if options.default_key_rules else ()
        rules = [*options.key_rules, *(KeyRule(pattern=p, unless=u, entity=e) for p, u, e in built_in)]
        self._rules = [(re.compile(r.pattern), re.compile(r.unless) if r.unless else None, r) for r in rules]
        self._expected = [
            (re.compile(translate(glob.lower())), frozenset(entry.entities))
            for entry in options.allow.keys
            for glob in entry.keys
        ]
        self._persons = frozenset(options.person_keys)
        self._values = frozenset(value.strip().lower() for value in options.allow.values)
        self._networks = tuple(ipaddress.ip_network(network) for network in options.allow.networks)
        self.keys: dict[str, KeyPlan] = {}

    def key(self, key: str) -> KeyPlan:
        """What holds for a key. Plans are kept, but for those of keys that hold personal data themselves."""
        plan = self.keys.get(key)
        if plan is None:
            plan = self._make(key)
            if not plan.hits:
                if len(self.keys) >= _MAX_KEYS:
                    self.keys.clear()
                self.keys[key] = plan
        return plan

    def find(self, text: str) -> Hits:
        """What is in a text, but for the values that are let through."""
        hits = find(text)
        return tuple(hit for hit in hits if not self._allowed(hit)) if hits else CLEAN

    def _make(self, key: str) -> KeyPlan:
        hits, lowered = self.find(key), key.lower()
        folded = fold(_without(key, hits))
        rule = next((r for p, u, r in self._rules if p.search(folded) and not (u and u.search(folded))), None)
        expected = frozenset(entity for glob, entities in self._expected if glob.match(lowered) for entity in entities)
        plan = KeyPlan(rule=rule, expected=expected, person=key in self._persons, hits=hits)
        return NO_KEY if plan == NO_KEY else plan

    def _allowed(self, hit: Hit) -> bool:
        if hit.token:
            return False
        if hit.entity in _ADDRESSES:
            address = ipaddress.ip_address(canonical(hit.entity, hit.value))
            if any(address in network for network in self._networks):
                return True
        return bool(self._values) and hit.value.strip().lower() in self._values


def _without(key: str, hits: Hits) -> str:
    """The key's own words: neither a value in it nor the token that will stand there decides which rule holds."""
    parts: list[str] = []
    position = 0
    for hit in hits:
        parts.append(key[position : hit.start])
        position = max(position, hit.end)
    return "".join([*parts, key[position:]])


def _resolve(options: Privacy, label: Classification) -> Actions:
    return MappingProxyType({**DEFAULT_ACTIONS, **options.actions, **options.classes.get(label, {})})


def _strongest(actions: Mapping[Classification, Actions]) -> Actions:
    """For what spans of several classes share, each entity gets its strongest action of any class."""
    return MappingProxyType(
        {
            entity: max((of_class[entity] for of_class in actions.values()), key=STRENGTH.__getitem__)
            for entity in Entity
        },
    )
