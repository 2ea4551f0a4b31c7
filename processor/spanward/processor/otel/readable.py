"""Fresh spans, events and links that carry their counts of what was dropped.

The SDK keeps these counts in its own containers, whose insides differ between versions; here they are plain values.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link


class GovernedSpan(ReadableSpan):
    """A ReadableSpan that was governed; takes ReadableSpan's own arguments and the three counts."""

    def __init__(
        self,
        *,
        dropped_attributes: int = 0,
        dropped_events: int = 0,
        dropped_links: int = 0,
        **arguments: Any,
    ) -> None:
        super().__init__(**arguments)
        self._counts = (dropped_attributes, dropped_events, dropped_links)

    @property
    def dropped_attributes(self) -> int:
        """Attributes that the SDK's limits or the policy dropped."""
        return self._counts[0]

    @property
    def dropped_events(self) -> int:
        """Events that the SDK's limits dropped."""
        return self._counts[1]

    @property
    def dropped_links(self) -> int:
        """Links that the SDK's limits dropped."""
        return self._counts[2]


class GovernedEvent(Event):
    """An event with its count."""

    def __init__(self, name: str, attributes: Any, timestamp: int, dropped_attributes: int) -> None:
        super().__init__(name=name, attributes=attributes, timestamp=timestamp)
        self._dropped = dropped_attributes

    @property
    def dropped_attributes(self) -> int:
        """Attributes that the SDK's limits or the policy dropped."""
        return self._dropped


class GovernedLink(Link):
    """A link with its count."""

    def __init__(self, context: Any, attributes: Any, dropped_attributes: int) -> None:
        super().__init__(context, attributes)
        self._dropped = dropped_attributes

    @property
    def dropped_attributes(self) -> int:
        """Attributes that the SDK's limits or the policy dropped."""
        return self._dropped
