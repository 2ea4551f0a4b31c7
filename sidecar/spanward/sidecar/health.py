"""What the sidecar knows of its own condition, for whoever asks: the health extension, `spanward status`, the logs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from spanward.store.clock import Clock


class Condition(StrEnum):
    """From best to worst."""

    OK = "ok"
    DEGRADED = "degraded"
    DOWN = "down"


_ORDER: Final = {condition: rank for rank, condition in enumerate(Condition)}


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """The last report of one component.

    Attributes:
        condition: what it said.
        reason: why, in one line; "" when all is well.
        since_unix_nano: when this condition began.
    """

    condition: Condition
    reason: str
    since_unix_nano: int


class HealthRegistry:
    """Collects reports; safe to call from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._components: dict[str, ComponentHealth] = {}
        self._ready = False
        self.started_unix_nano: Final = clock.now_ns()

    def report(self, component: str, condition: str, reason: str = "") -> None:
        """Note the condition of a component; `condition` is a `Condition` value.

        Raises:
            ValueError: no such condition.
        """
        word = Condition(condition)
        with self._lock:
            before = self._components.get(component)
            since = before.since_unix_nano if before and before.condition == word else self._clock.now_ns()
            self._components[component] = ComponentHealth(word, reason, since)

    def set_ready(self, ready: bool) -> None:
        """Recovery is done and every component has started (or, with False, shutdown has begun)."""
        self._ready = ready

    @property
    def ready(self) -> bool:
        """True while requests can be taken: started, and no component down."""
        return self._ready and self.worst() is not Condition.DOWN

    def worst(self) -> Condition:
        """The worst condition of any component; OK when none has reported."""
        with self._lock:
            return max(
                (health.condition for health in self._components.values()), key=_ORDER.__getitem__, default=Condition.OK
            )

    def components(self) -> Mapping[str, ComponentHealth]:
        """A copy of the last reports by component id."""
        with self._lock:
            return dict(self._components)
