"""Makes the `otlp` receiver."""

from __future__ import annotations

from typing import Final

from spanward.receiver.otlp.config import OtlpReceiverConfig
from spanward.receiver.otlp.receiver import OtlpReceiver
from spanward.receiver.otlp.service import TraceService
from spanward.sidecar.component import Factory, Host, Ingest


def create(config: OtlpReceiverConfig, host: Host, ingest: Ingest) -> OtlpReceiver:
    """A receiver that hands its requests to `ingest`."""
    service = TraceService(ingest, host.identifier, host.metrics, host.logger)
    return OtlpReceiver(config, service, host.logger)


factory: Final = Factory(OtlpReceiverConfig, create)
