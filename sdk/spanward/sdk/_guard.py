"""How instrumentation fails: in the log, once, and never in the host's face."""

from __future__ import annotations

import logging
from typing import Final

from spanward.processor.policy.locks import ForkSafeLock

logger: Final = logging.getLogger("spanward.sdk")

_MOST_KEYS: Final = 1000
_seen: set[str] = set()
_lock = ForkSafeLock()


def warn_once(key: str, message: str, *args: object, exc_info: bool = False) -> None:
    """Log a warning the first time that `key` comes by in this process.

    The set of keys is bounded: beyond it new troubles are silent, for a log that grows with the host's traffic would be
    trouble of its own.
    """
    with _lock:
        if key in _seen or len(_seen) >= _MOST_KEYS:
            return
        _seen.add(key)
    logger.warning(message, *args, exc_info=exc_info)


def forget_warnings() -> None:
    """Start anew; for tests, and for a process that configures tracing again."""
    with _lock:
        _seen.clear()
