"""Values far from what the same operation usually shows.

Per (service, operation) and measure a sliding mean and variance are kept; a value more than `threshold` standard
deviations away breaks the rule. The first `window` values weigh alike (Welford's recurrence), later ones push the older
out with a weight of 1/window. A value that breaks the rule joins the baseline too: a lasting change becomes the usual.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from spanward.processor.policy.locks import ForkSafeLock
from spanward.processor.policy.quality.measures import (
    CPU,
    MEMORY,
    PROCESSING_TIME,
    QUALITY,
    duration_ms,
    number,
    service,
)
from spanward.processor.policy.quality.rule import Severity
from spanward.processor.policy.span import SpanRecord

_FLOOR: Final = 0.001
"""A standard deviation is never taken as smaller than this share of the mean: a value that has always been the same
may change in its last digits."""


class Baseline:
    """Sliding mean and variance of one measure."""

    __slots__ = ("count", "mean", "variance")

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.variance = 0.0

    def z_score(self, value: float) -> float:
        """How many standard deviations the value is away from the mean."""
        deviation = max(math.sqrt(self.variance), abs(self.mean) * _FLOOR)
        distance = abs(value - self.mean)
        return distance / deviation if deviation else (math.inf if distance else 0.0)

    def add(self, value: float, window: int) -> None:
        """Let the value in."""
        if self.count < window:
            self.count += 1
        weight = 1.0 / self.count
        distance = value - self.mean
        self.mean += weight * distance
        self.variance = (1.0 - weight) * (self.variance + weight * distance * distance)


class Anomaly:
    """Processing time, memory, CPU and quality score are near the operation's own baseline."""

    name = "anomaly"

    def __init__(
        self,
        severity: Severity = Severity.WARNING,
        *,
        threshold: float = 3.0,
        warm_up: int = 30,
        window: int = 1000,
        max_operations: int = 4096,
    ) -> None:
        self.severity = severity
        self._threshold = threshold
        self._warm_up = warm_up
        self._window = window
        self._max_operations = max_operations
        self._operations: OrderedDict[tuple[str, str], dict[str, Baseline]] = OrderedDict()
        self._lock = ForkSafeLock()

    def broken_by(self, span: SpanRecord) -> bool:
        """True when one of the span's measures is too far away; every finite measure joins its baseline."""
        measures = _measures(span)
        if not measures:
            return False
        with self._lock:
            baselines = self._baselines((service(span), span.name))
            far = [
                self._far(baselines, name, value) for name, value in measures
            ]  # all of them: each joins its baseline
        return any(far)

    def _baselines(self, operation: tuple[str, str]) -> dict[str, Baseline]:
        baselines = self._operations.get(operation)
        if baselines is None:
            baselines = self._operations[operation] = {}
            if len(self._operations) > self._max_operations:
                self._operations.popitem(last=False)
        else:
            self._operations.move_to_end(operation)
        return baselines

    def _far(self, baselines: dict[str, Baseline], name: str, value: float) -> bool:
        baseline = baselines.get(name)
        if baseline is None:
            baseline = baselines[name] = Baseline()
        far = baseline.count >= self._warm_up and baseline.z_score(value) > self._threshold
        baseline.add(value, self._window)
        return far


def _measures(span: SpanRecord) -> list[tuple[str, float]]:
    attributes = span.attributes
    found: list[tuple[str, float]] = []
    time = number(attributes.get(PROCESSING_TIME)) if PROCESSING_TIME in attributes else duration_ms(span)
    if time is not None:
        found.append((PROCESSING_TIME, time))
    for name in (MEMORY, CPU, QUALITY):
        if name in attributes:
            value = number(attributes[name])
            if value is not None:
                found.append((name, value))
    return found
