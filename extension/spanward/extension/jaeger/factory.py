"""Makes the `jaeger` extension."""

from __future__ import annotations

from typing import Final

from spanward.extension.jaeger.config import JaegerConfig
from spanward.extension.jaeger.jaeger import JaegerExtension
from spanward.sidecar.component import Factory, Host


def create(config: JaegerConfig, host: Host) -> JaegerExtension:
    """An extension that reads the host's store."""
    return JaegerExtension(config, host.store, host.logger)


factory: Final = Factory(JaegerConfig, create)
