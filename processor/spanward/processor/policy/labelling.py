"""Which class and which term a span gets: rules, claims, defaults.

no rule matches     the claim, or the default where there is none
a rule matches      the rule is a floor: a claim can make the class stricter and the term shorter, never the reverse
several match       the strictest class and the shortest term among them
the claim is none   (a class that does not exist) it is a violation, and the label is as if nothing was claimed
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from spanward.processor.policy.claims import Claims
from spanward.processor.policy.labels import Classification, Retention
from spanward.processor.policy.options import Defaults, LabelRule, Match
from spanward.processor.policy.quality.measures import EVENT_TYPE, service
from spanward.processor.policy.span import Attributes, AttributeValue, SpanRecord

_Condition = Callable[[SpanRecord], bool]
_FOREVER: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Label:
    """What a span is labelled with.

    Attributes:
        drop: True when a rule says not to store it.
    """

    classification: Classification
    retention: Retention
    drop: bool = False


class Labeller:
    """The label rules and defaults of a policy."""

    def __init__(self, defaults: Defaults, rules: Sequence[LabelRule]) -> None:
        self._rules = [(_conditions(rule.match), rule) for rule in rules]
        self._defaults = defaults
        self._unlabelled = Label(defaults.classification, defaults.retention)

    def label(self, span: SpanRecord, claims: Claims | None) -> Label:
        """The label of a span; `claims` is None for one that makes none."""
        rules = [rule for conditions, rule in self._rules if all(condition(span) for condition in conditions)]
        if claims is None and not rules:
            return self._unlabelled
        claimed = (claims.classification, claims.retention) if claims is not None else (None, None)
        classes = [label for label in (claimed[0], *(rule.classification for rule in rules)) if label is not None]
        terms = [label for label in (claimed[1], *(rule.retention for rule in rules)) if label is not None]
        return Label(
            max(classes, key=lambda label: label.rank, default=self._defaults.classification),
            min(terms, key=_days, default=self._defaults.retention),
            drop=any(rule.drop for rule in rules),
        )


def _days(term: Retention) -> int:
    return _FOREVER if term.days is None else term.days


def _conditions(match: Match) -> list[_Condition]:
    """The conditions of a rule, the cheapest first."""
    conditions: list[_Condition] = []
    if match.service is not None:
        is_service = _glob(match.service)
        conditions.append(lambda span: is_service(service(span)))
    if match.operation is not None:
        is_operation = _glob(match.operation)
        conditions.append(lambda span: is_operation(span.name))
    if match.event_type is not None:
        is_type = _glob(match.event_type)
        conditions.append(lambda span: EVENT_TYPE in span.attributes and is_type(_text(span.attributes[EVENT_TYPE])))
    if match.attribute is not None:
        conditions.append(_attribute_condition(match.attribute))
    return conditions


def _attribute_condition(text: str) -> _Condition:
    key, has_value, value = text.partition("=")
    is_key, is_value = _glob(key.strip()), _glob(value.strip() if has_value else "*")

    def holds(attributes: Attributes) -> bool:
        return any(is_key(name) and is_value(_text(found)) for name, found in attributes.items())

    return lambda span: holds(span.attributes) or holds(span.resource.attributes)


def _glob(pattern: str) -> Callable[[str], bool]:
    matches = re.compile(translate(pattern)).match
    return lambda text: matches(text) is not None


def _text(value: AttributeValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
