"""Batches of ReadableSpans as governed OTLP requests."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from spanward.processor.otel.govern import SpanGovernor
from spanward.processor.otel.held import HeldSpan, released
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.kernel_plan import compile_plan
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.native import Engine, load_function, load_native

_LOGGER: Final = logging.getLogger(__name__)
_LIMITS: Final = {"nesting": 32, "attributes": 1024, "events": 4096, "links": 4096, "spans": 100_000}
"""Batches with more are encoded in Python."""


@dataclass(frozen=True, slots=True)
class GovernedRequest:
    """A request that may leave the process.

    Attributes:
        body: an ExportTraceServiceRequest in protobuf.
        spans: how many are in it; the others were dropped by a rule or could not be governed.
    """

    body: bytes
    spans: int


class SpanEncoder:
    """Governs spans and encodes them. Safe to call from several threads.

    The compiled kernel does both in one pass where there is one; batches with something unusual in them, and all where
    there is none, go through the governor and OpenTelemetry's own encoder. The results are the same.

    Args:
        policy: what holds.
        keys: hash keys, newest first.
        engine: who does it.

    Raises:
        ConfigurationError: the policy asks for what is not there, such as the kernel.
    """

    def __init__(self, policy: Policy, keys: Sequence[HashKey], engine: Engine = Engine.AUTO) -> None:
        self._spans = SpanGovernor(Governor(policy, keys))
        self._load: Callable[[], Any] = lambda: load_native(
            engine, "SpanEncoder", keys, lambda: compile_plan(policy, _LIMITS)
        )
        self._native, self._pid = self._load(), os.getpid()
        self.hold: Callable[[ReadableSpan], ReadableSpan | HeldSpan] = (
            _as_it_is if self._native is None else load_function("hold")
        )
        """An ended span in the form in which it waits best for `encode`. Raises nothing."""
        self._native_dropped = 0
        self._native_failed = False

    @property
    def failed(self) -> int:
        """Spans that could not be governed and were left out."""
        return self._spans.failed

    @property
    def dropped(self) -> int:
        """Spans that a rule says not to store."""
        return self._native_dropped + self._spans.dropped

    def encode(self, spans: Sequence[ReadableSpan | HeldSpan]) -> GovernedRequest:
        """The spans as one request.

        Raises:
            Exception: whatever OpenTelemetry's encoder raises on values that it cannot encode.
        """
        if self._pid != os.getpid():  # a thread that is not here may have held the locks inside at the fork
            self._native, self._pid = self._load(), os.getpid()
        made = None if self._native is None else self._encode_natively(self._native, spans)
        if made is None:
            copies = self._spans.copies([span if isinstance(span, ReadableSpan) else released(span) for span in spans])
            return GovernedRequest(encode_spans(copies).SerializeToString(), len(copies))
        return made

    def _encode_natively(self, native: Any, spans: Sequence[ReadableSpan | HeldSpan]) -> GovernedRequest | None:
        try:
            made: tuple[bytes, int, int] | None = native.encode(spans)
        except RuntimeError as error:
            self._report(error)
            return None
        if made is None:
            return None
        body, count, dropped = made
        self._native_dropped += dropped
        return GovernedRequest(body, count)

    def _report(self, error: RuntimeError) -> None:
        """A bug of the kernel must not cost the application its spans."""
        if not self._native_failed:
            self._native_failed = True
            _LOGGER.error("%s; the spans were encoded in Python; this is said once", error)


def _as_it_is(span: ReadableSpan) -> ReadableSpan:
    return span
