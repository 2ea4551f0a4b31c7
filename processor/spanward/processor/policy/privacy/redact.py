"""Taking out of texts, attributes and nested values what was found in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.options import KeyRule
from spanward.processor.policy.privacy.canonical import canonical
from spanward.processor.policy.privacy.detect import Hits
from spanward.processor.policy.privacy.entities import IDENTIFYING, WITHHELD, Action, Entity
from spanward.processor.policy.privacy.merge import merge
from spanward.processor.policy.privacy.plan import NO_KEY, Actions, KeyPlan, PrivacyPlan
from spanward.processor.policy.privacy.tokens import TOKEN, digest, hashed, masked
from spanward.processor.policy.span import Attributes, AttributeValue


class _Dropped:
    """Stands for a value that has to go."""


_DROPPED: Final = _Dropped()
_MARGIN: Final = 512
"""Characters behind the limit that are looked at, so that of a value that lies across it no piece remains."""


class Redactor:
    """Works through one batch; not shared between threads.

    Each distinct text of the batch is scanned once. Call `begin` for each span, then what is to be looked at, then read
    `types` and `subjects`.

    Attributes:
        types: entity types found since `begin`.
        subjects: `keyid:digest` of the identifying values found since `begin`; empty without a key.
        counts: finds by (type, action) over the whole batch, tokens not counted.
    """

    def __init__(self, plan: PrivacyPlan, key: HashKey | None) -> None:
        self.types: set[str] = set()
        self.subjects: set[str] = set()
        self.counts: Counter[tuple[str, str]] = Counter()
        self._plan = plan
        self._key = key
        self._keys = plan.keys
        self._limit = plan.limits.max_text_length
        self._memo: dict[str, Hits] = {}
        self._actions = plan.shared_actions

    def begin(self, actions: Actions) -> None:
        """Forget what was found, and use these actions from now on."""
        self._actions = actions
        self.types = set()
        self.subjects = set()

    def text(self, text: str, plan: KeyPlan = NO_KEY) -> str:
        """A text that is no attribute's value; `drop` leaves a token in it, as `mask` does."""
        hits = self._hits(text)
        return self._replace(text, hits, plan.expected)[0] if hits or len(text) > self._limit else text

    def value_of(self, key: str, text: str) -> str:
        """A text as the value of a key; what would be dropped leaves its token."""
        plan = self._plan.key(key)
        new = self._value(text, plan, 0)
        if isinstance(new, str):
            return new
        return masked(plan.rule.entity) if plan.rule is not None else self.text(text, plan)

    def attributes(self, attributes: Attributes) -> tuple[Attributes, int]:
        """Attributes without what must not be in them, and how many were dropped; the same object when none changed."""
        changes: dict[str, AttributeValue | _Dropped] = {}
        keys, memo, limit = self._keys, self._memo, self._limit
        for key, value in attributes.items():
            plan = keys.get(key) or self._plan.key(key)
            if plan is NO_KEY:
                if isinstance(value, str):
                    hits = memo.get(value)
                    if not (self._scan(value) if hits is None else hits) and len(value) <= limit:
                        continue
                elif value is None or isinstance(value, (int, float)):
                    continue
            new = self._value(value, plan, 0)
            if new is not value or plan.hits:
                changes[key] = new
        return self._changed(attributes, changes) if changes else (attributes, 0)

    def _changed(
        self,
        attributes: Attributes,
        changes: Mapping[str, AttributeValue | _Dropped],
    ) -> tuple[Attributes, int]:
        result: Attributes = {}
        for key, value in attributes.items():
            new = changes.get(key, value)
            if not isinstance(new, _Dropped):
                result[self.text(key) if key in changes else key] = new
        return result, sum(isinstance(new, _Dropped) for new in changes.values())

    def _value(self, value: AttributeValue, plan: KeyPlan, depth: int) -> AttributeValue | _Dropped:
        if plan.rule is not None:
            done = self._by_rule(value, plan.rule)
            if done is not value:
                return done
        if plan.person:
            self._person(value)
        if isinstance(value, str):
            text, drop = self._replace(value, self._hits(value), plan.expected)
            return _DROPPED if drop else text
        if isinstance(value, bytes):
            return self._bytes(value, plan)
        if isinstance(value, (Mapping, list, tuple)):
            return WITHHELD if depth >= self._plan.limits.max_depth else self._nested(value, plan, depth + 1)
        return value

    def _nested(self, value: AttributeValue, plan: KeyPlan, depth: int) -> AttributeValue:
        if isinstance(value, Mapping):
            members = {self.text(key): self._value(item, self._plan.key(key), depth) for key, item in value.items()}
            kept = {key: item for key, item in members.items() if not isinstance(item, _Dropped)}
            same = len(kept) == len(value) and all(kept.get(k, _DROPPED) is item for k, item in value.items())
            return value if same else kept
        assert isinstance(value, (list, tuple))
        items = [self._item(item, plan, depth) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return tuple(items) if isinstance(value, tuple) else items

    def _item(self, item: AttributeValue, plan: KeyPlan, depth: int) -> AttributeValue:
        """A member of a list; dropping it would move the others, so its text is replaced."""
        if isinstance(item, str):
            return self.text(item, plan)
        new = self._value(item, KeyPlan(expected=plan.expected), depth)
        return WITHHELD if isinstance(new, _Dropped) else new

    def _bytes(self, value: bytes, plan: KeyPlan) -> AttributeValue | _Dropped:
        """Bytes as the text they hold; what is not UTF-8 in them stays byte for byte, and hides nothing beside it."""
        text = value.decode("utf-8", "surrogateescape")
        new, drop = self._replace(text, self._hits(text), plan.expected)
        if drop:
            return _DROPPED
        return value if new is text else new.encode("utf-8", "surrogateescape")

    def _by_rule(self, value: AttributeValue, rule: KeyRule) -> AttributeValue | _Dropped:
        action = self._actions[rule.entity] if rule.action is None else rule.action
        if isinstance(value, str) and TOKEN.fullmatch(value) and action is not Action.DROP:
            return value
        text = value if isinstance(value, str) else "" if isinstance(value, bool) or value is None else str(value)
        subject = self._found(rule.entity, text, action, identifies=rule.entity in IDENTIFYING and bool(text))
        if action is Action.TAG:
            return value
        return _DROPPED if action is Action.DROP else self._token(rule.entity, subject, action)

    def _person(self, value: AttributeValue) -> None:
        """A person's id is a subject; one that is a detected value as a whole is that value's subject already."""
        if self._key is None or isinstance(value, bool) or not isinstance(value, (str, int)):
            return
        text = str(value).strip()
        if text and not any(hit.end - hit.start == len(text) for hit in self._hits(text)):
            self.subjects.add(digest(self._key, text))

    def _replace(self, text: str, hits: Hits, expected: frozenset[Entity]) -> tuple[str, bool]:
        """The text without its hits, and whether one of them asks for the attribute to be dropped."""
        parts: list[str] = []
        position = 0
        drop = False
        for start, end, hit, action in merge([h for h in hits if h.token or h.entity not in expected], self._actions):
            if start >= self._limit:
                break
            if hit.token:
                self.types.add(hit.entity.value)
                if hit.value:
                    self.subjects.add(hit.value)
                continue
            subject = self._found(hit.entity, hit.value, action, identifies=hit.entity in IDENTIFYING)
            drop = drop or action is Action.DROP
            if action is not Action.TAG:
                parts += (text[position:start], self._token(hit.entity, subject, action))
                position = end
        if len(text) > self._limit:
            parts += (text[position : self._limit], WITHHELD)
        elif position:
            parts.append(text[position:])
        return ("".join(parts) if parts else text), drop

    def _found(self, entity: Entity, value: str, action: Action, *, identifies: bool) -> str:
        """Note a find; answers with its subject, "" where there is none."""
        self.types.add(entity.value)
        self.counts[entity.value, action.value] += 1
        if self._key is None or not (identifies or action is Action.HASH):
            return ""
        subject = digest(self._key, canonical(entity, value))
        if identifies:
            self.subjects.add(subject)
        return subject

    def _token(self, entity: Entity, subject: str, action: Action) -> str:
        """What stands in the place of a value; without a key a hash becomes a mask."""
        return hashed(entity, subject) if action is Action.HASH and subject else masked(entity)

    def _hits(self, text: str) -> Hits:
        hits = self._memo.get(text)
        return self._scan(text) if hits is None else hits

    def _scan(self, text: str) -> Hits:
        hits = self._plan.find(text if len(text) <= self._limit else text[: self._limit + _MARGIN])
        if len(self._memo) < self._plan.limits.max_memo:
            self._memo[text] = hits
        return hits
