"""Where a Pipeline's governed events go: an OTLP endpoint, or a lake folder.

Both raise SpanwardError when they cannot take a batch. They take one batch at a time, from any thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.trace import ReadableSpan

from spanward.processor.otel.attributes import with_verdict
from spanward.processor.otel.convert import Converter
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.labels import Classification, Retention
from spanward.sdk._batcher import Item
from spanward.sdk._exporters import lake_exporter
from spanward.sdk._otlp import open_sender
from spanward.sdk._settings import Destination
from spanward.store.errors import RetryableError


class Sink(Protocol):
    """What a Pipeline needs of a destination."""

    governor: Governor
    name: str

    def store(self, items: Sequence[Item]) -> None:
        """Take governed items, all or none; returning means they are safe."""
        ...

    def register(
        self,
        target: str,
        classification: Classification | None,
        retention: Retention | None,
        privacy_tags: Sequence[str],
    ) -> bool:
        """Put a registration on record; False when this destination learns of it by a span instead."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


class OtlpSink:
    """An OTLP endpoint; the sidecar there stores what it is sent."""

    def __init__(self, destination: Destination, policy: Policy, keys: Sequence[HashKey]) -> None:
        self.governor = Governor(policy, keys)
        self.name = destination.endpoint or f"OTLP over {destination.protocol}, as OTEL_EXPORTER_OTLP_* says"
        self._sender = open_sender(destination)
        self._converter = Converter()

    def store(self, items: Sequence[Item]) -> None:
        """Send; the sender has retried already what OTLP says may be retried, within its timeout."""
        request = encode_spans([self._governed(item) for item in items])
        if not self._sender.send(request.SerializeToString(), len(items)):
            raise RetryableError(f"{self.name} did not take {len(items)} spans; the log says why")

    def _governed(self, item: Item) -> ReadableSpan:
        """The span with the policy's verdict as claims, so that a sidecar need not find out again what was in it."""
        record = item.record
        if record.verdict is not None:
            record.attributes = with_verdict(record.attributes, record.verdict)
        return self._converter.to_readable(record, item.span)

    def register(
        self,
        target: str,  # noqa: ARG002 - the span says it
        classification: Classification | None,  # noqa: ARG002 - as above
        retention: Retention | None,  # noqa: ARG002 - as above
        privacy_tags: Sequence[str],  # noqa: ARG002 - as above
    ) -> bool:
        """The sidecar reads registrations from spans."""
        return False

    def close(self) -> None:
        """Close the connection."""
        self._sender.shutdown()


class LakeSink:
    """A lake folder of this machine, under the keys of its own keyring."""

    def __init__(self, destination: Destination, policy: Policy) -> None:
        assert destination.lake is not None
        self.name = str(destination.lake)
        self._exporter = lake_exporter(destination.lake, policy)
        self.governor: Governor = self._exporter.governor

    def store(self, items: Sequence[Item]) -> None:
        """Into the intake log, on disk."""
        self._exporter.write([item.record for item in items])

    def register(
        self,
        target: str,
        classification: Classification | None,
        retention: Retention | None,
        privacy_tags: Sequence[str],
    ) -> bool:
        """Into the compliance store."""
        self._exporter.register(target, classification, retention, privacy_tags)
        return True

    def close(self) -> None:
        """Commit what the log holds, and let go of the folder."""
        self._exporter.shutdown()


def open_sink(destination: Destination, policy: Policy, keys: Sequence[HashKey]) -> Sink:
    """Open a destination.

    Raises:
        ConfigurationError: it cannot be opened.
    """
    return OtlpSink(destination, policy, keys) if destination.lake is None else LakeSink(destination, policy)
