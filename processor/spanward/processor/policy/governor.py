"""The governor: the policy at work on batches of spans."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from spanward.processor.policy.claims import Claims, are_made
from spanward.processor.policy.config import Policy
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.labelling import Label, Labeller
from spanward.processor.policy.labels import Classification
from spanward.processor.policy.locks import ForkSafeLock
from spanward.processor.policy.privacy.entities import UNCHECKED
from spanward.processor.policy.privacy.merge import merge
from spanward.processor.policy.privacy.plan import PrivacyPlan
from spanward.processor.policy.privacy.redact import Redactor
from spanward.processor.policy.privacy.walk import redact_shared, redact_span, withhold_shared, withhold_span
from spanward.processor.policy.quality.ruleset import RuleSet
from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord, Verdict

UNGOVERNED: Final = "ungoverned"
"""The violation of a span that could not be checked."""

_LOGGER: Final = logging.getLogger(__name__)
_NO_CLAIMS: Final = Claims({}, {})


class Finding(NamedTuple):
    """Something found in a text.

    Attributes:
        type: the entity's id.
        start, end: where, in characters.
    """

    type: str
    start: int
    end: int


class Governor:
    """Labels spans, takes personal data out of them and judges their quality. Safe to call from several threads.

    Args:
        policy: what holds.
        keys: hash keys, newest first; the first makes tokens and subjects. Without any, `hash` masks, and spans have no
            subjects but those that their tokens bring along.

    Raises:
        ConfigurationError: a quality rule that is plugged in cannot be loaded.
    """

    def __init__(self, policy: Policy, keys: Sequence[HashKey] = ()) -> None:
        self.policy = policy
        self._key = keys[0] if keys else None
        self._plan = PrivacyPlan(policy.privacy, policy.limits)
        self._labeller = Labeller(policy.defaults, policy.labels)
        self._rules = RuleSet.of(policy.quality)
        self._lock = ForkSafeLock()
        self._shared_lock = ForkSafeLock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._failures = 0

    def govern(self, records: Sequence[SpanRecord]) -> None:
        """Change records in place and set the verdict of each.

        Resources and scopes are looked at once and shared. Nothing is raised on data: a span that cannot be checked
        keeps its ids, times and kind, loses every text, and is marked.
        """
        redactor = Redactor(self._plan, self._key)
        for record in records:
            try:
                self._govern(record, redactor)
            except Exception as error:  # noqa: BLE001 - whatever it is, the span must not go on as it is
                self._withhold(record, error)
        if redactor.counts:
            with self._lock:
                self._counts.update(redactor.counts)

    def scan(self, text: str, key: str = "") -> list[Finding]:
        """What a text holds that the policy would act on; tokens are not reported.

        Args:
            text: the text.
            key: the attribute it is the value of; "" for a text that is none.
        """
        plan = self._plan.key(key)
        if plan.rule is not None:
            return [Finding(plan.rule.entity.value, 0, len(text))]
        hits = [hit for hit in self._plan.find(text) if hit.entity not in plan.expected]
        stretches = merge(hits, self._plan.actions[self.policy.defaults.classification])
        return [Finding(s.hit.entity.value, s.start, s.end) for s in stretches if not s.hit.token]

    def redact(self, text: str, key: str = "") -> str:
        """The text as it would be stored in a span of the default class; what would be dropped leaves its token.

        Args:
            text: the text.
            key: the attribute it is the value of; "" for a text that is none.
        """
        redactor = Redactor(self._plan, self._key)
        redactor.begin(self._plan.actions[self.policy.defaults.classification])
        return redactor.value_of(key, text)

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """Finds since the start by (entity type, action)."""
        with self._lock:
            return dict(self._counts)

    @property
    def rules(self) -> frozenset[str]:
        """Names of the rules that spans are held against here; what a sender claims may name others."""
        return frozenset({UNGOVERNED, *self._rules.claims, *(name for name, _ in self._rules.rules)})

    @property
    def failures(self) -> int:
        """Spans that could not be checked and were withheld, since the start."""
        return self._failures

    def _govern(self, record: SpanRecord, redactor: Redactor) -> None:
        resource, scope = record.resource, record.scope
        if not resource.governed or not scope.governed:
            self._govern_shared(resource, scope, redactor)
        made = are_made(record.attributes, resource.attributes)
        claims = Claims(record.attributes, resource.attributes) if made else _NO_CLAIMS
        label = self._labeller.label(record, claims if made else None)
        broken = self._rules.violations(record)
        if self.policy.privacy.enabled:
            redactor.begin(self._plan.actions[label.classification])
            redact_span(record, redactor)
        record.verdict = self._verdict(record, label, claims, broken, redactor)

    def _verdict(
        self,
        record: SpanRecord,
        label: Label,
        claims: Claims,
        broken: list[str],
        redactor: Redactor,
    ) -> Verdict:
        resource, scope = record.resource, record.scope
        enabled = self.policy.privacy.enabled
        types = (redactor.types if enabled else set[str]()).union(claims.pii, resource.pii, scope.pii)
        subjects = (redactor.subjects if enabled else set[str]()).union(
            claims.subjects,
            resource.subjects,
            scope.subjects,
        )
        if claims.broken or (claims.denies and types):
            broken = [*broken, *self._rules.claims]
        claimed = [name for name in claims.violations if not (enabled and self._plan.find(name))]
        violations = tuple(sorted({*broken, *claimed})) if broken or claimed else ()
        return Verdict(
            classification=label.classification,
            retention=label.retention,
            pii=tuple(sorted(types)) if types else (),
            subjects=tuple(sorted(subjects)) if subjects else (),
            quality_score=self._rules.score(violations) if violations else 1.0,
            quality_violations=violations,
            dropped=label.drop,
        )

    def _govern_shared(self, resource: ResourceRecord, scope: ScopeRecord, redactor: Redactor) -> None:
        with self._shared_lock:
            for shared in (resource, scope):
                if shared.governed:
                    continue
                try:
                    if self.policy.privacy.enabled:
                        redactor.begin(self._plan.shared_actions)
                        redact_shared(shared, redactor)
                        shared.pii = tuple(sorted(redactor.types))
                        shared.subjects = tuple(sorted(redactor.subjects))
                except Exception as error:  # noqa: BLE001 - as for spans
                    self._report(error)
                    withhold_shared(shared)
                shared.governed = True

    def _withhold(self, record: SpanRecord, error: Exception) -> None:
        self._report(error)
        withhold_span(record)
        record.verdict = Verdict(
            classification=Classification.RESTRICTED,
            retention=self.policy.defaults.retention,
            pii=(UNCHECKED,),
            quality_score=0.0,
            quality_violations=(UNGOVERNED,),
        )

    def _report(self, error: Exception) -> None:
        with self._lock:
            self._failures += 1
            first = self._failures == 1
        if first:
            kind = type(error).__name__
            _LOGGER.error("a span could not be checked (%s); its text is withheld; later ones are only counted", kind)
