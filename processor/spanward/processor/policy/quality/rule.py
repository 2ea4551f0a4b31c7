"""What a quality rule is, and what breaking some of them makes of a span's score."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol, runtime_checkable

from spanward.processor.policy.span import SpanRecord


class Severity(StrEnum):
    """How bad it is to break a rule: worth knowing, worth a look, not to be believed."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


WEIGHTS: Final = MappingProxyType({Severity.INFO: 1.0, Severity.WARNING: 2.0, Severity.ERROR: 4.0})


@runtime_checkable
class Rule(Protocol):
    """One thing that a span must hold.

    A package adds rules of its own through the entry-point group `spanward.quality_rule`: the entry point names a rule
    or a function without arguments that returns one. Rules see the span before personal data is taken out of it; they
    must not change it, keep it or log it, and are called from several threads.

    Attributes:
        name: what the span's `quality_violations` call it: lower case, digits, `_`, `.`, `-`.
        severity: how bad it is to break it.
    """

    @property
    def name(self) -> str:
        """What violations are called."""
        ...

    @property
    def severity(self) -> Severity:
        """How bad a violation is."""
        ...

    def broken_by(self, span: SpanRecord) -> bool:
        """Whether the span breaks the rule; a span without the value the rule is about does not."""
        ...


class Scale:
    """The score over a fixed set of rules: 1 - weight of the broken rules / weight of all rules.

    INFO weighs 1, WARNING 2, ERROR 4. The score is 1.0 for a span that breaks none and 0.0 for one that breaks all, and
    has four decimals. Violations of rules that are not in the set, which another policy has found, weigh as WARNING.
    """

    def __init__(self, rules: Iterable[tuple[str, Severity]]) -> None:
        self._weights = {name: WEIGHTS[severity] for name, severity in rules}
        self._total = sum(self._weights.values()) or WEIGHTS[Severity.WARNING]

    def score(self, broken: Collection[str]) -> float:
        """The score of a span that breaks these rules."""
        if not broken:
            return 1.0
        lost = sum(self._weights.get(name, WEIGHTS[Severity.WARNING]) for name in broken)
        return round(max(0.0, 1.0 - lost / self._total), 4)
