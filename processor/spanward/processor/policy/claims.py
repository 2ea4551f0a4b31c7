"""What a span says of itself: the `spanward.*` attributes by which senders label spans.

A claim stands on the span or, for all its spans, on the resource. What the policy itself found on an earlier pass
travels in the same form, so that the sidecar knows what the application has already taken out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from spanward.processor.policy.labels import Classification, Retention
from spanward.processor.policy.privacy.entities import DECLARED, UNCHECKED, Entity
from spanward.processor.policy.privacy.tokens import SUBJECT
from spanward.processor.policy.span import Attributes, AttributeValue

CLASSIFICATION: Final = "spanward.classification"
RETENTION: Final = "spanward.retention"
CONTAINS_PII: Final = "spanward.contains_pii"
PRIVACY_TAGS: Final = "spanward.privacy.tags"
PII: Final = "spanward.pii"
SUBJECTS: Final = "spanward.subjects"
VIOLATIONS: Final = "spanward.quality.violations"

MAX_ITEMS: Final = 256
"""Entries of one list that are read; a sender cannot make a row grow without end."""

_RULE_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_KNOWN_TYPES: Final = frozenset({*Entity, DECLARED, UNCHECKED})


class Claims:
    """The claims of one span, as far as they can be read.

    Attributes:
        classification, retention: what is claimed; None when nothing is, or nothing that exists.
        broken: True when a claim is there and cannot be read.
        denies: True when the sender says that there is no personal data.
        pii: types that the sender has found or declared.
        subjects: `keyid:digest` of values taken out earlier.
        violations: rules found broken earlier.
    """

    __slots__ = ("broken", "classification", "denies", "pii", "retention", "subjects", "violations")

    def __init__(self, span: Attributes, resource: Attributes) -> None:
        self.broken = False
        self.denies = False
        # a claim of the span that cannot be read leaves the one of its resource in force
        self.classification = self._classification(span.get(CLASSIFICATION)) or self._classification(
            resource.get(CLASSIFICATION),
        )
        self.retention = self._retention(span.get(RETENTION)) or self._retention(resource.get(RETENTION))
        self.subjects = [text for text in _texts(span.get(SUBJECTS)) if SUBJECT.fullmatch(text)]
        self.violations = [text for text in _texts(span.get(VIOLATIONS)) if _RULE_NAME.fullmatch(text)]
        self.pii = {text for text in _texts(span.get(PII)) if text in _KNOWN_TYPES}
        self._declared(_claim(span, resource, CONTAINS_PII), _texts(_claim(span, resource, PRIVACY_TAGS)))

    def _classification(self, value: AttributeValue) -> Classification | None:
        if isinstance(value, str):
            try:
                return Classification.parse(value)
            except ValueError:
                self.broken = True
        elif value is not None:
            self.broken = True
        return None

    def _retention(self, value: AttributeValue) -> Retention | None:
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            try:
                return Retention.parse(value)
            except ValueError:
                self.broken = True
        elif value is not None:
            self.broken = True
        return None

    def _declared(self, contains: AttributeValue, tags: Sequence[str]) -> None:
        """A tag that names an entity type is that type; other tags, and a bare yes, say that there is something."""
        known = {tag for tag in tags if tag in _KNOWN_TYPES}
        self.pii |= known
        if contains is not None and not isinstance(contains, bool):
            self.broken = True
        if contains is True or len(known) < len(tags):
            self.pii.add(DECLARED)
        self.denies = contains is False


def are_made(span: Attributes, resource: Attributes) -> bool:
    """Whether there is anything to read; most spans make no claim."""
    return not (_KEYS.isdisjoint(span) and _KEYS.isdisjoint(resource))


_KEYS: Final = frozenset({CLASSIFICATION, RETENTION, CONTAINS_PII, PRIVACY_TAGS, PII, SUBJECTS, VIOLATIONS})


def _claim(span: Attributes, resource: Attributes, key: str) -> AttributeValue:
    value = span.get(key)
    return resource.get(key) if value is None else value


def _texts(value: AttributeValue) -> list[str]:
    """The texts of a list, or of one text with commas."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if not isinstance(value, (list, tuple)):
        return []
    return [item for item in value[:MAX_ITEMS] if isinstance(item, str) and item]
