"""A store is not closed beneath a write.

Whoever opens a folder next removes the files that were written and not committed. A commit that is still under way in
a thread when the folder is let go would then name files that are gone.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager

from spanward.store.errors import RetryableError


class WriteGate:
    """Lets writes in until it is shut. Thread-safe."""

    def __init__(self, what: str) -> None:
        """Args: `what` names the store in errors."""
        self._what = what
        self._changed = threading.Condition()
        self._inside = 0
        self._is_open = True

    @contextmanager
    def write(self) -> Generator[None, None, None]:
        """A write, for as long as the block runs; a write may contain another.

        Raises:
            RetryableError: the gate is shut; nothing was written.
        """
        with self._changed:
            if not self._is_open:
                raise RetryableError(f"{self._what} is closed; open it again to write")
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    def shut(self) -> None:
        """Let no more writes in, and wait for the end of those that are under way. Idempotent."""
        with self._changed:
            self._is_open = False
            self._changed.wait_for(lambda: self._inside == 0)
