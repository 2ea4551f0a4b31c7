"""OTLP over gRPC, of requests that are bytes already."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from spanward.sdk._answer import Refused, Taken, read_response
from spanward.sdk._endpoint import Endpoint
from spanward.store.errors import ConfigurationError

_EXPORT: Final = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
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
_OPTIONS: Final = (
    ("grpc.primary_user_agent", f"spanward/{version('spanward')}"),
    ("grpc.max_reconnect_backoff_ms", 5000),  # a program that outlives its collector's restart finds it again
)


class GrpcTransport:
    """See `spanward.sdk._answer.Transport`.

    Raises:
        ConfigurationError: a certificate or key cannot be read.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        files = (endpoint.certificate, endpoint.client_key, endpoint.client_certificate)
        self._certificates = tuple(map(_content, files))
        self._metadata = tuple(endpoint.headers.items())
        self._channel: grpc.Channel | None = None
        self._export: Any = None

    def send(self, body: bytes, timeout: float) -> Taken | Refused:
        """See `Transport`."""
        if self._channel is None:
            self._open()
        try:
            return read_response(self._export(body, timeout=timeout, metadata=self._metadata))
        except grpc.RpcError as error:
            return _refused(error)
        except ValueError as error:  # the channel was closed meanwhile
            return Refused(str(error))

    def close(self) -> None:
        """See `Transport`."""
        if self._channel is not None:
            self._channel.close()

    def _open(self) -> None:
        endpoint = self._endpoint
        compression = grpc.Compression.Gzip if endpoint.compression == "gzip" else grpc.Compression.NoCompression
        self._channel = (
            grpc.insecure_channel(endpoint.address, _OPTIONS, compression)
            if endpoint.insecure
            else grpc.secure_channel(
                endpoint.address, grpc.ssl_channel_credentials(*self._certificates), _OPTIONS, compression
            )
        )
        self._export = self._channel.unary_unary(_EXPORT, request_serializer=None, response_deserializer=None)


def _content(path: Path | None) -> bytes | None:
    try:
        return None if path is None else path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error


def _refused(error: Any) -> Refused:
    code: grpc.StatusCode = error.code()
    delay = _retry_delay(dict(error.trailing_metadata() or ()))
    may_retry = code in _RETRYABLE or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and delay is not None)
    return Refused(f"{code.name}: {error.details()}", may_retry, delay)


def _retry_delay(metadata: dict[str, bytes]) -> float | None:
    """Seconds of the RetryInfo among the details of a status, or beside it, where some servers put it."""
    info = RetryInfo()
    try:
        details = Status.FromString(metadata.get("grpc-status-details-bin", b"")).details
        if not any(detail.Unpack(info) for detail in details):
            if "google.rpc.retryinfo-bin" not in metadata:
                return None
            info = RetryInfo.FromString(metadata["google.rpc.retryinfo-bin"])
    except DecodeError:
        return None
    delay = info.retry_delay.ToTimedelta()
    return float(delay.total_seconds())
