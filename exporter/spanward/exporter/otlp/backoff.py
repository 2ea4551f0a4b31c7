"""How long to wait before the next try."""

from __future__ import annotations

import random

from spanward.exporter.otlp.config import RetryConfig


class Backoff:
    """Waits that double with each failure in a row, up to a bound, and differ between senders."""

    def __init__(self, config: RetryConfig) -> None:
        self._config = config
        self._failures = 0

    @property
    def fresh(self) -> bool:
        """True before the first failure in a row."""
        return self._failures == 0

    def reset(self) -> None:
        """A request got through."""
        self._failures = 0

    def next(self, asked: float | None) -> float:
        """Seconds to wait after one more failure.

        Args:
            asked: what the server asked for; it counts from the first wait up to the longest that may be asked for.
                Less, such as a date in the past, would be to knock without pause at a server in trouble.
        """
        config = self._config
        full = min(config.max_seconds, config.initial_seconds * 2.0 ** min(self._failures, 32))
        self._failures += 1
        if asked is not None and asked >= config.initial_seconds:
            return min(asked, config.max_asked_seconds)
        return full * random.uniform(0.5, 1.0)  # noqa: S311 - spreads senders in time, hides nothing
