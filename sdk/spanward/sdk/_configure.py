"""`configure`: governed tracing for this process, in one call."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import Sampler

from spanward.processor.policy.config import Policy
from spanward.sdk._exporters import governed_exporter
from spanward.sdk._guard import logger, warn_once
from spanward.sdk._keys import load_hash_keys
from spanward.sdk._operation import SCOPE_NAME
from spanward.sdk._otlp import OtlpBatchProcessor, OtlpSpanExporter
from spanward.sdk._processor import (
    SpanwardSpanProcessor,
    exporter_of,
    is_governed,
    processors_of,
    warn_of_raw_spans,
)
from spanward.sdk._settings import load_policy, make_destination, make_resource
from spanward.store.errors import ConfigurationError


class Spanward:
    """What `configure` gives back: the provider, and the means to flush and stop. Also a context manager.

    Attributes:
        tracer_provider: OpenTelemetry's, for instrumentations that want to be given one.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider,
        slot: SpanwardSpanProcessor | None,
        inner: BatchSpanProcessor | None,
    ) -> None:
        self.tracer_provider = tracer_provider
        self._slot = slot
        self._inner = inner

    def tracer(self, name: str = SCOPE_NAME) -> trace.Tracer:
        """A tracer of this provider, for spans made by hand."""
        return self.tracer_provider.get_tracer(name)

    def flush(self, timeout_seconds: float = 30.0) -> bool:
        """Export every span that has ended; False when the time did not suffice. Never raises."""
        try:
            return self.tracer_provider.force_flush(int(timeout_seconds * 1000))
        except Exception:  # noqa: BLE001 - another processor of the provider may raise anything
            warn_once("flush", "spans could not be flushed", exc_info=True)
            return False

    def shutdown(self) -> None:
        """Export what is left, and no more after that. The provider stays, for it cannot be unset. Never raises."""
        if self._slot is None or self._inner is None or not self._slot.holds(self._inner):
            return
        try:
            self._slot.replace(None)
        except Exception:  # noqa: BLE001 - a destination that is gone must not fail the end of the program
            warn_once("shutdown", "the last spans could not be exported", exc_info=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.shutdown()


def configure(
    endpoint: str | None = None,
    *,
    protocol: str | None = None,
    headers: Mapping[str, str] | None = None,
    compression: str | None = None,
    timeout: float | None = None,
    insecure: bool | None = None,
    service_name: str | None = None,
    resource_attributes: Mapping[str, Any] | None = None,
    lake: str | os.PathLike[str] | None = None,
    policy: Policy | str | os.PathLike[str] | None = None,
    hash_key_file: str | os.PathLike[str] | None = None,
    keyring: str | os.PathLike[str] | None = None,
    sampler: Sampler | None = None,
    max_queue_size: int | None = None,
    max_export_batch_size: int | None = None,
    schedule_delay_millis: float | None = None,
    export_timeout_millis: float | None = None,
    set_global: bool = True,
) -> Spanward:
    """Send governed spans of this process to an OTLP endpoint, or straight into a lake folder.

    All `OTEL_*` variables of OTLP exporters, of the batch processor and of the provider stay in force; arguments
    win over them. Spans are governed in the batch's worker thread, before they leave the process. Where a tracer
    provider is set already, the exporter joins it. Calling it again replaces the destination.

    An endpoint that is down is no error: the exporter retries, and the program runs on.

    Args:
        endpoint: `host:port` or URL; for HTTP, `/v1/traces` is added to a URL without a path. Default localhost:4317.
        protocol: "grpc" or "http/protobuf"; by default what OTEL_EXPORTER_OTLP_PROTOCOL says, or the endpoint's port.
        headers: sent with every request.
        compression: "gzip" or "none".
        timeout: seconds for one export.
        insecure: gRPC without TLS; by default for http:// URLs and for loopback.
        service_name: `service.name` of the resource.
        resource_attributes: more attributes of the resource.
        lake: folder to write into, without a sidecar. Needs `pip install 'spanward[lake]'`.
        policy: a Policy or the path of its file; default SPANWARD_POLICY, then the built-in policy.
        hash_key_file: file with hash keys; default SPANWARD_HASH_KEY_FILE.
        keyring: folder with a keyring whose hash keys to use; default SPANWARD_KEYRING. A lake has its own.
        sampler: default OTEL_TRACES_SAMPLER, then always on with the parent's decision.
        max_queue_size: spans that wait for export, beyond which the oldest is lost; default OTEL_BSP_MAX_QUEUE_SIZE.
        max_export_batch_size: spans in one export; default OTEL_BSP_MAX_EXPORT_BATCH_SIZE.
        schedule_delay_millis: time between exports; default OTEL_BSP_SCHEDULE_DELAY.
        export_timeout_millis: handed to the batch processor; default OTEL_BSP_EXPORT_TIMEOUT.
        set_global: make the provider the process's own; False leaves the global one alone and makes a new provider.

    Raises:
        ConfigurationError: an argument or variable is wrong; nothing has been changed then.
    """
    destination = make_destination(
        endpoint,
        lake=lake,
        protocol=protocol,
        headers=headers,
        compression=compression,
        timeout=timeout,
        insecure=insecure,
    )
    provider = _existing_provider() if set_global else None
    if provider is not None:
        _warn_of_ignored(service_name=service_name, resource_attributes=resource_attributes, sampler=sampler)
        if endpoint is None and lake is None and _exports_governed(provider):
            return Spanward(provider, None, None)  # zero-code instrumentation has done it all
    exporter = governed_exporter(destination, load_policy(policy), load_hash_keys(hash_key_file, keyring))
    batch = _batch(exporter, max_queue_size, schedule_delay_millis, max_export_batch_size, export_timeout_millis)
    if provider is None:
        provider = TracerProvider(sampler=sampler, resource=make_resource(service_name, resource_attributes))
        if set_global:
            trace.set_tracer_provider(provider)
    return Spanward(provider, _install(provider, batch), batch)


def _existing_provider() -> TracerProvider | None:
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        return provider
    if not isinstance(provider, trace.ProxyTracerProvider):
        kind = type(provider).__name__
        logger.warning("the global tracer provider is a %s and stays; spans go through a provider of our own", kind)
    return None


def _warn_of_ignored(**settings: object) -> None:
    ignored = ", ".join(name for name, value in settings.items() if value is not None)
    if ignored:
        logger.warning("a tracer provider is set already: %s cannot be changed any more", ignored)


def _exports_governed(provider: TracerProvider) -> bool:
    return any(is_governed(exporter_of(processor)) for processor in processors_of(provider))


def _batch(
    exporter: SpanExporter, queue: int | None, delay: float | None, size: int | None, timeout: float | None
) -> Any:
    try:
        if isinstance(exporter, OtlpSpanExporter):
            return OtlpBatchProcessor(exporter, queue, delay, size, timeout)
        return BatchSpanProcessor(exporter, queue, delay, size, timeout)
    except ValueError as error:
        exporter.shutdown()
        raise ConfigurationError(f"the batch settings do not fit: {error}") from error


def _install(provider: TracerProvider, batch: BatchSpanProcessor) -> SpanwardSpanProcessor:
    """Put the batch behind the provider: in our slot, if one is there from an earlier call."""
    for processor in processors_of(provider):
        if isinstance(processor, SpanwardSpanProcessor):
            processor.replace(batch)
            return processor
    slot = SpanwardSpanProcessor(batch)
    warn_of_raw_spans(provider)
    provider.add_span_processor(slot)
    return slot
