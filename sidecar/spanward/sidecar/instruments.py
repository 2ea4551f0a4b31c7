"""Prometheus instruments that several components share.

A registry takes each name once, while there may be several components of one type: each asks here, gets the one
instrument, and tells itself apart by a label.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary

from prometheus_client import CollectorRegistry, Counter, Gauge

_lock: Final = threading.Lock()
_counters: Final[WeakKeyDictionary[CollectorRegistry, dict[str, Counter]]] = WeakKeyDictionary()
_gauges: Final[WeakKeyDictionary[CollectorRegistry, dict[str, Gauge]]] = WeakKeyDictionary()


def counter(registry: CollectorRegistry, name: str, text: str, labels: Sequence[str]) -> Counter:
    """The registry's counter of this name, made at the first call; exposed with the suffix `_total`."""
    with _lock:
        known = _counters.setdefault(registry, {})
        if name not in known:
            known[name] = Counter(name, text, labels, registry=registry)
        return known[name]


def gauge(registry: CollectorRegistry, name: str, text: str, labels: Sequence[str]) -> Gauge:
    """The registry's gauge of this name, made at the first call."""
    with _lock:
        known = _gauges.setdefault(registry, {})
        if name not in known:
            known[name] = Gauge(name, text, labels, registry=registry)
        return known[name]
