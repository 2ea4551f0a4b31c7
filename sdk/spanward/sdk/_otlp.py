"""The OTLP exporter: spans through the policy, into protobuf and on their way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from spanward.processor.otel.encoder import SpanEncoder
from spanward.sdk._answer import Transport
from spanward.sdk._endpoint import Endpoint, read_endpoint
from spanward.sdk._guard import logger
from spanward.sdk._sender import Sender
from spanward.sdk._settings import Destination, Protocol


class OtlpSpanExporter(SpanExporter):
    """Governs spans, encodes them and sends them, as one step: nothing raw is handed to anybody. Raises nothing.

    Args:
        encoder: the policy, and the way into protobuf.
        sender: the way to the endpoint.
    """

    governs: Final = True

    def __init__(self, encoder: SpanEncoder, sender: Sender) -> None:
        self.hold: Callable[[ReadableSpan], ReadableSpan] = cast("Any", encoder.hold)
        """An ended span in the form in which it waits best for its export; batch processors see but its context."""
        self._encoder = encoder
        self._sender = sender

    @property
    def failed(self) -> int:
        """Spans that could not be governed and were left out."""
        return self._encoder.failed

    @property
    def dropped(self) -> int:
        """Spans that a rule says not to store."""
        return self._encoder.dropped

    @property
    def rejected(self) -> int:
        """Spans that the endpoint refused out of requests that it took."""
        return self._sender.rejected

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Whether the endpoint took what is left of the spans, held ones or others; success when nothing is."""
        try:
            request = self._encoder.encode(spans)
        except Exception as error:  # noqa: BLE001 - an exporter must not raise, whatever the spans hold
            logger.error("%d spans are lost: they could not be encoded (%s)", len(spans), type(error).__name__)
            return SpanExportResult.FAILURE
        if not request.spans or self._sender.send(request.body, request.spans):
            return SpanExportResult.SUCCESS
        return SpanExportResult.FAILURE

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Nothing is held back."""
        return True

    def shutdown(self) -> None:
        """Send no more."""
        self._sender.shutdown()


class OtlpBatchProcessor(BatchSpanProcessor):
    """The stock batch processor, in whose queue spans wait as the exporter holds them best.

    Args:
        exporter: exports the batches.
        settings: BatchSpanProcessor's own, in its order.
    """

    def __init__(self, exporter: OtlpSpanExporter, *settings: Any) -> None:
        super().__init__(exporter, *settings)
        self._hold = exporter.hold

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span, if it is sampled."""
        super().on_end(self._hold(span))


def open_sender(destination: Destination) -> Sender:
    """The way to a destination's endpoint; nothing is connected yet.

    Raises:
        ConfigurationError: an `OTEL_EXPORTER_OTLP_*` variable is wrong.
    """
    endpoint = read_endpoint(destination)
    return Sender(lambda: _transport(destination.protocol, endpoint), endpoint.address, endpoint.timeout)


def _transport(protocol: Protocol, endpoint: Endpoint) -> Transport:
    if protocol == "grpc":
        from spanward.sdk._transport_grpc import GrpcTransport  # noqa: PLC0415 - slow to import, and HTTP needs it not

        return GrpcTransport(endpoint)
    from spanward.sdk._transport_http import HttpTransport  # noqa: PLC0415 - only for who exports over HTTP

    return HttpTransport(endpoint)
