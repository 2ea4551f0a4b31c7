"""The rules of a policy, built in and plugged in, applied to spans."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from spanward.processor.policy.options import Quality
from spanward.processor.policy.quality.anomaly import Anomaly
from spanward.processor.policy.quality.measures import MEMORY, PROCESSING_TIME, QUALITY
from spanward.processor.policy.quality.ranges import EventTypeFormat, InRange, ProcessingTime, TimeOrder
from spanward.processor.policy.quality.rule import Rule, Scale, Severity
from spanward.processor.policy.span import SpanRecord
from spanward.store.errors import ConfigurationError

GROUP: Final = "spanward.quality_rule"
CLAIMS: Final = "claims"
"""The rule about what a sender claims; the labels are read elsewhere, its name and severity are here."""

_NAME: Final = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_LOGGER: Final = logging.getLogger(__name__)


class RuleSet:
    """What spans are held against.

    Attributes:
        claims: what a broken claim adds to a span's violations: the rule's name, or nothing when it is off.
    """

    def __init__(self, rules: Iterable[Rule], *, claims: Severity | None = Severity.WARNING) -> None:
        self._rules = tuple(rules)
        self.claims = (CLAIMS,) if claims is not None else ()
        self._scale = Scale([*self.rules, *([(CLAIMS, claims)] if claims is not None else [])])
        self._failed: set[str] = set()

    @classmethod
    def of(cls, options: Quality) -> RuleSet:
        """The rules that the options turn on.

        Raises:
            ConfigurationError: a plug-in cannot be loaded or is no rule.
        """
        rules = [*_built_in(options), *(_plugged_in() if options.plugins else ())]
        return cls(rules, claims=options.claims.severity if options.claims.enabled else None)

    @property
    def rules(self) -> tuple[tuple[str, Severity], ...]:
        """Name and severity of each rule that spans are held against, but for that about claims."""
        return tuple((rule.name, rule.severity) for rule in self._rules)

    def violations(self, span: SpanRecord) -> list[str]:
        """Names of the rules that the span breaks. A rule that fails is logged once and not counted."""
        broken: list[str] = []
        for rule in self._rules:
            try:
                if rule.broken_by(span):
                    broken.append(rule.name)
            except Exception as error:  # noqa: BLE001 - rules come from plug-ins, and one of them must not cost the span
                self._report(rule.name, error)
        return broken

    def score(self, broken: Iterable[str]) -> float:
        """The score of a span that breaks these rules, 0..1."""
        return self._scale.score(frozenset(broken))

    def _report(self, name: str, error: Exception) -> None:
        if name not in self._failed:
            self._failed.add(name)
            _LOGGER.error("quality rule %s failed and is not counted: %s", name, type(error).__name__)


def _built_in(options: Quality) -> list[Rule]:
    time, memory, quality = options.processing_time, options.memory, options.quality
    form, anomaly, order = options.event_type_format, options.anomaly, options.time_order
    candidates: list[tuple[bool, Callable[[], Rule]]] = [
        (time.enabled, lambda: ProcessingTime("processing_time", time.severity, PROCESSING_TIME, time.low, time.high)),
        (memory.enabled, lambda: InRange("memory", memory.severity, MEMORY, memory.low, memory.high)),
        (quality.enabled, lambda: InRange("quality", quality.severity, QUALITY, quality.low, quality.high)),
        (form.enabled, lambda: EventTypeFormat(form.severity, form.pattern)),
        (order.enabled, lambda: TimeOrder(order.severity)),
        (anomaly.enabled, lambda: Anomaly(**anomaly.model_dump(exclude={"enabled"}))),
    ]
    return [make() for enabled, make in candidates if enabled]


def _plugged_in() -> list[Rule]:
    return [_load(entry_point) for entry_point in sorted(entry_points(group=GROUP))]


def _load(entry_point: EntryPoint) -> Rule:
    try:
        loaded: Any = entry_point.load()
        rule = loaded if isinstance(loaded, Rule) and not isinstance(loaded, type) else loaded()
    except Exception as error:
        raise ConfigurationError(
            f"quality rule {entry_point.name!r} ({entry_point.value}) cannot be loaded: {error}; "
            f"mend or uninstall its package, or set quality.plugins to false",
        ) from error
    if not isinstance(rule, Rule) or not _NAME.fullmatch(rule.name):
        raise ConfigurationError(
            f"quality rule {entry_point.name!r} ({entry_point.value}) needs a name of lower-case letters, a severity "
            f"and broken_by(span); mend or uninstall its package, or set quality.plugins to false",
        )
    return rule
