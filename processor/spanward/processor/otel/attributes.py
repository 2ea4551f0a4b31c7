"""What the policy decided, as attributes on the span that is handed on.

A backend that knows nothing of spanward shows them, and a sidecar behind the application reads them as claims: it knows
then what was already taken out, and labels the span as the application did unless its own rules are stricter.
"""

from __future__ import annotations

from spanward.processor.policy.claims import CLASSIFICATION, PII, RETENTION, SUBJECTS, VIOLATIONS
from spanward.processor.policy.quality.measures import QUALITY
from spanward.processor.policy.span import Attributes, Verdict


def with_verdict(attributes: Attributes, verdict: Verdict) -> Attributes:
    """The attributes and `spanward.classification`, `.retention` and, where there are any, `.pii`, `.subjects`,
    `.quality.violations`. `spanward.quality.score` is added only to a span that breaks a rule and has no score of its
    own, for there it is the application's measure.
    """  # noqa: D205 - one sentence
    labelled: Attributes = {
        **attributes,
        CLASSIFICATION: verdict.classification.value,
        RETENTION: str(verdict.retention),
    }
    if verdict.pii:
        labelled[PII] = verdict.pii
    if verdict.subjects:
        labelled[SUBJECTS] = verdict.subjects
    if verdict.quality_violations:
        labelled[VIOLATIONS] = verdict.quality_violations
        labelled.setdefault(QUALITY, verdict.quality_score)
    return labelled
