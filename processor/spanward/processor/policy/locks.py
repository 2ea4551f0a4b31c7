"""A lock that outlives `os.fork`."""

from __future__ import annotations

import os
import threading
from typing import Final
from weakref import WeakSet


class ForkSafeLock:
    """A lock for `with`, which is free in a forked child.

    Servers that fork their workers may do so at the moment in which a worker thread of this package holds a lock. That
    thread does not exist in the child, so nobody would ever let an ordinary lock go there. What it guards must bear
    that the work under it was left half done.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all.add(self)

    def renew(self) -> None:
        """Be free, whoever held it."""
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_all: Final[WeakSet[ForkSafeLock]] = WeakSet()


def _renew_all() -> None:
    for lock in tuple(_all):
        lock.renew()


if hasattr(os, "register_at_fork"):  # not where there is no fork
    os.register_at_fork(after_in_child=_renew_all)
