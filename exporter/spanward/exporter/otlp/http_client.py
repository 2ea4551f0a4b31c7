"""OTLP over HTTP in protobuf, as a client."""

from __future__ import annotations

import asyncio
import gzip
import io
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import aiohttp
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from spanward.exporter.otlp.config import Compression, OtlpExporterConfig, TlsConfig
from spanward.store.clock import Clock
from spanward.store.errors import ConfigurationError, PermanentError, RetryableError

_PATH: Final = "/v1/traces"
_PROTOBUF: Final = "application/x-protobuf"
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_MAX_ANSWER_BYTES: Final = 64 << 10
_MAX_TEXT: Final = 200
_GZIP_LEVEL: Final = 1  # half the size at a fifth of the time of the default; spans repeat themselves


class HttpClient:
    """A connection pool to one endpoint."""

    def __init__(self, config: OtlpExporterConfig, clock: Clock) -> None:
        """Prepare the session; must be called on the event loop that sends.

        Raises:
            ConfigurationError: a TLS file cannot be read.
        """
        base = config.endpoint.rstrip("/")
        self._url = base if base.endswith(_PATH) else base + _PATH
        self._compression = config.compression
        self._clock = clock
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=_context(config.tls)),
            timeout=aiohttp.ClientTimeout(total=config.timeout_seconds),
            headers={"Content-Type": _PROTOBUF},
        )

    async def send(self, body: bytes, headers: Mapping[str, str]) -> ExportTracePartialSuccess:
        """See `Client`."""
        if self._compression is Compression.GZIP:
            body = await asyncio.to_thread(gzip.compress, body, _GZIP_LEVEL)
            headers = {**headers, "Content-Encoding": "gzip"}
        try:
            async with self._session.post(
                self._url, data=io.BytesIO(body), headers=headers, allow_redirects=False
            ) as response:
                answer = await response.content.read(_MAX_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            why = str(error) or "no answer in time"
            raise RetryableError(f"{self._url}: {why}") from error
        return self._outcome(response, answer)

    async def close(self) -> None:
        """Let the connections go. Idempotent."""
        await self._session.close()

    def _outcome(self, response: aiohttp.ClientResponse, answer: bytes) -> ExportTracePartialSuccess:
        if response.ok and response.status < 300:  # noqa: PLR2004 - `ok` includes redirects
            return _partial_success(answer)
        text = f"{self._url}: HTTP {response.status}: {_reason(response, answer)}"
        if response.status in _RETRYABLE:
            raise RetryableError(text, retry_after=self._retry_after(response))
        raise PermanentError(text)

    def _retry_after(self, response: aiohttp.ClientResponse) -> float | None:
        """Seconds of the Retry-After header, which is a number or a date; None without a readable one."""
        value = response.headers.get("Retry-After", "").strip()
        if value.isdecimal():
            return float(value)
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        now = datetime.fromtimestamp(self._clock.now_ns() / 1e9, tz=UTC)
        return max(0.0, (moment - now).total_seconds())


def _partial_success(answer: bytes) -> ExportTracePartialSuccess:
    try:
        return ExportTraceServiceResponse.FromString(answer).partial_success
    except DecodeError:
        return ExportTracePartialSuccess()  # taken, by a server with an answer of its own


def _reason(response: aiohttp.ClientResponse, answer: bytes) -> str:
    """What the server said, in one line."""
    text = answer.decode("utf-8", "replace")
    if response.content_type == _PROTOBUF:
        try:
            text = Status.FromString(answer).message
        except DecodeError:
            text = ""
    return " ".join(text.split())[:_MAX_TEXT] or str(response.reason)


def _context(tls: TlsConfig) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file)
        if tls.cert_file is not None:
            context.load_cert_chain(tls.cert_file, tls.key_file)
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"tls: {error}; name PEM files that this user can read") from error
    return context
