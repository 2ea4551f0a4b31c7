"""Makes the `otlp` exporter."""

from __future__ import annotations

from typing import Final

from spanward.exporter.otlp.client import Client
from spanward.exporter.otlp.config import OtlpExporterConfig, Transport
from spanward.exporter.otlp.cursor import Cursor
from spanward.exporter.otlp.exporter import OtlpExporter, Settings
from spanward.exporter.otlp.grpc_client import GrpcClient
from spanward.exporter.otlp.http_client import HttpClient
from spanward.exporter.otlp.instruments import Instruments
from spanward.sidecar.component import Factory, Host
from spanward.store.errors import ConfigurationError


def create(config: OtlpExporterConfig, host: Host) -> OtlpExporter:
    """An exporter behind the host's intake log.

    Raises:
        ConfigurationError: it stands where there is no log.
        StoreError: its cursor cannot be read.
    """
    if host.log is None:
        raise ConfigurationError("the otlp exporter follows a pipeline's log; list it under a pipeline's exporters")

    def client() -> Client:
        return GrpcClient(config) if config.protocol is Transport.GRPC else HttpClient(config, host.clock)

    settings = Settings(client=client, log=host.log)
    return OtlpExporter(
        config,
        host,
        settings,
        Cursor(host.data, host.log.folder.name, host.identifier),
        Instruments(host.metrics, host.identifier),
    )


factory: Final = Factory(OtlpExporterConfig, create)
