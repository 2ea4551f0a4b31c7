"""Requests to an OTLP endpoint, again and again within their time where OTLP says that they may be."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from spanward.sdk._answer import Refused, Taken, Transport
from spanward.sdk._guard import logger, warn_once

_FIRST_PAUSE: Final = 1.0
_JITTER: Final = 0.2
"""So that the processes of a fleet do not come back in step."""


class Sender:
    """Sends requests, one at a time, from any thread. What it holds open belongs to one process: a fork opens its own.

    Args:
        connect: makes the transport; called in each process that sends.
        place: the endpoint, for the log.
        timeout: seconds for one request, its retries included.
    """

    def __init__(self, connect: Callable[[], Transport], place: str, timeout: float) -> None:
        self.rejected = 0
        """Spans that the endpoint refused out of requests that it took."""
        self._connect = connect
        self._place = place
        self._timeout = timeout
        self._closed = False
        # a child keeps those of its parents, for to finalise one would end what is the parent's
        self._transports: list[Transport] = []
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._transports.append(self._connect())
        self._stop = threading.Event()

    def send(self, body: bytes, spans: int) -> bool:
        """Whether the endpoint took a request; what went wrong is in the log. Does not raise."""
        if self._pid != os.getpid():
            self._begin()
        if self._closed:
            logger.warning("%d spans are lost: they ended after shutdown", spans)
            return False
        answer = self._attempt(body)
        if isinstance(answer, Refused):
            logger.error("%d spans are lost: %s did not take them: %s", spans, self._place, answer.reason)
            return False
        self._note(answer)
        return True

    def _attempt(self, body: bytes) -> Taken | Refused:
        """The last answer of as many as there is time for."""
        deadline = time.monotonic() + self._timeout
        pause = _FIRST_PAUSE
        while True:
            answer = self._transports[-1].send(body, max(deadline - time.monotonic(), 0.0))
            if isinstance(answer, Taken) or not answer.retry:
                return answer
            wait = pause * random.uniform(1 - _JITTER, 1 + _JITTER) if answer.delay is None else answer.delay  # noqa: S311 - no secret
            if wait > deadline - time.monotonic() or self._stop.wait(wait):
                return answer
            logger.debug("%s is tried again: %s", self._place, answer.reason)
            pause *= 2

    def _note(self, answer: Taken) -> None:
        if answer.rejected or answer.message:
            self.rejected += answer.rejected
            warn_once(
                f"partial {self._place}",
                "%s rejected %d spans (%s); later ones are only counted",
                self._place,
                answer.rejected,
                answer.message or "it does not say why",
            )

    def shutdown(self) -> None:
        """Send no more; a retry that waits is given up. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._stop.set()
        if self._pid == os.getpid():
            self._transports[-1].close()
