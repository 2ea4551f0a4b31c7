"""OTLP over gRPC, as a client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import grpc
import grpc.aio
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from spanward.exporter.otlp.config import Compression, OtlpExporterConfig, TlsConfig
from spanward.store.errors import ConfigurationError, PermanentError, RetryableError

_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
_STATUS_TRAILER: Final = "grpc-status-details-bin"
_RETRY_INFO: Final = "google.rpc.RetryInfo"
_RETRYABLE: Final = frozenset(
    {
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    }
)
_COMPRESSION: Final = {Compression.GZIP: grpc.Compression.Gzip, Compression.NONE: grpc.Compression.NoCompression}


class GrpcClient:
    """A channel to one endpoint; it connects when first used, and again after a failure."""

    def __init__(self, config: OtlpExporterConfig) -> None:
        """Open the channel; must be called on the event loop that sends.

        Raises:
            ConfigurationError: a TLS file cannot be read.
        """
        self._endpoint = config.endpoint
        self._timeout = config.timeout_seconds
        self._channel = _channel(config)
        self._export: Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]] = self._channel.unary_unary(
            _EXPORT, None, None
        )

    async def send(self, body: bytes, headers: Mapping[str, str]) -> ExportTracePartialSuccess:
        """See `Client`."""
        metadata = tuple((name.lower(), value) for name, value in headers.items())
        try:
            answer = await self._export(body, timeout=self._timeout, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            raise _translated(self._endpoint, error) from error
        try:
            return ExportTraceServiceResponse.FromString(answer).partial_success
        except DecodeError:
            return ExportTracePartialSuccess()  # taken, by a server with an answer of its own

    async def close(self) -> None:
        """Let the channel go. Idempotent."""
        await self._channel.close(None)


def _translated(endpoint: str, error: grpc.aio.AioRpcError) -> RetryableError | PermanentError:
    code = error.code()
    text = f"{endpoint}: {code.name}: {error.details()}"
    wait = _retry_after(error)
    if code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and wait is not None):
        return RetryableError(text, retry_after=wait)
    return PermanentError(text)


def _retry_after(error: grpc.aio.AioRpcError) -> float | None:
    """Seconds of the RetryInfo in the trailers, None without one."""
    trailers: Any = error.trailing_metadata() or ()  # pairs, which the stubs do not know
    status = next((value for name, value in trailers if name == _STATUS_TRAILER), b"")
    try:
        for detail in Status.FromString(status).details:
            if detail.TypeName() == _RETRY_INFO:
                delay = RetryInfo.FromString(detail.value).retry_delay
                seconds: float = delay.seconds + delay.nanos / 1e9
                return max(0.0, seconds)
    except DecodeError:
        pass
    return None


def _channel(config: OtlpExporterConfig) -> grpc.aio.Channel:
    parts = urlsplit(config.endpoint if "://" in config.endpoint else f"//{config.endpoint}")
    compression = _COMPRESSION[config.compression]
    options = [("grpc.max_send_message_length", -1)]  # bounded by max_request_kib
    if config.tls.insecure or parts.scheme == "http":
        return grpc.aio.insecure_channel(parts.netloc, options=options, compression=compression)
    return grpc.aio.secure_channel(parts.netloc, _credentials(config.tls), options=options, compression=compression)


def _credentials(tls: TlsConfig) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(
        _read(tls.ca_file, "tls.ca_file"), _read(tls.key_file, "tls.key_file"), _read(tls.cert_file, "tls.cert_file")
    )


def _read(path: Path | None, option: str) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{option}: {path}: {error.strerror}; name a PEM file that this user can read"
        ) from error
