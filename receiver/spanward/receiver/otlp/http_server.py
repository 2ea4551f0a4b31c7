"""OTLP over HTTP: POST /v1/traces in protobuf or JSON."""

from __future__ import annotations

import logging
import math
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc import code_pb2

from spanward.receiver.otlp.config import HttpConfig
from spanward.receiver.otlp.http_body import BodyReader
from spanward.receiver.otlp.http_errors import HttpError, http_status
from spanward.receiver.otlp.service import ExportError, TraceService
from spanward.receiver.otlp.status import to_status
from spanward.sidecar.component import Encoding
from spanward.sidecar.http_listener import HttpListener

_OPTION: Final = "protocols.http.endpoint"
_TRANSPORT: Final = "http"
_TRACES: Final = "/v1/traces"
_OTHER_SIGNALS: Final = {"/v1/metrics": "metrics", "/v1/logs": "logs", "/v1development/profiles": "profiles"}
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"
_ENCODINGS: Final = {_PROTOBUF: Encoding.PROTOBUF, _JSON: Encoding.JSON}
_GRACE_SECONDS: Final = 5.0


class HttpServer:
    """Listens for OTLP requests."""

    def __init__(self, config: HttpConfig, service: TraceService, *, max_bytes: int, tenant_header: str) -> None:
        self._logger = service.logger.getChild("http")
        self._logger.addFilter(_one_line)
        self._service = service
        self._reader = BodyReader(max_bytes, config.max_concurrent_requests, config.read_timeout_seconds)
        self._tenant_header = tenant_header
        self._listener = HttpListener(
            config.endpoint,
            _OPTION,
            auto_decompress=False,  # with a bound, by ourselves
            keepalive_timeout=config.keepalive_seconds,
            shutdown_timeout=_GRACE_SECONDS,
            logger=self._logger,
        )

    @property
    def port(self) -> int:
        """The bound port; 0 while it is not bound."""
        return self._listener.port

    async def start(self) -> None:
        """Bind.

        Raises:
            ConfigurationError: the endpoint is not host:port, or cannot be bound.
        """
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        await self._listener.start(application)

    async def shutdown(self) -> None:
        """Refuse new requests, let those in flight finish, unbind. Idempotent."""
        await self._listener.shutdown()

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            encoding = _route(request)
            async with self._reader.admitted():
                body = await self._reader.read(request)
                return await self._export(request, body, encoding)
        except HttpError as error:
            self._service.count_refusal(_TRANSPORT, error)
            return _error_response(request, error, error.status, error.headers)

    async def _export(self, request: web.Request, body: bytes, encoding: Encoding) -> web.Response:
        tenant = request.headers.get(self._tenant_header) if self._tenant_header else None
        try:
            response = await self._service.export(body, encoding, tenant, _TRANSPORT)
        except ExportError as error:
            return _error_response(request, error, http_status(error), {})
        return web.Response(body=_encode(response, encoding), content_type=request.content_type)


def _one_line(record: logging.LogRecord) -> bool:
    """What a client did wrong is told in one line: without our stack, and without its words; some are credentials."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg, record.args = "a client sent what is not HTTP (%s)", (type(error).__name__,)
    return True


def _route(request: web.Request) -> Encoding:
    """How the body is written, if this is a request to take."""
    signal = _OTHER_SIGNALS.get(request.path)
    if signal is not None:
        text = f"this server does not accept {signal}; it takes traces, POST {_TRACES}"
        raise HttpError(HTTPStatus.NOT_FOUND, code_pb2.UNIMPLEMENTED, text)
    if request.path != _TRACES:
        raise HttpError(HTTPStatus.NOT_FOUND, code_pb2.NOT_FOUND, f"nothing here; send traces with POST {_TRACES}")
    if request.method != "POST":
        text = f"{_TRACES} takes POST, not {request.method}"
        raise HttpError(HTTPStatus.METHOD_NOT_ALLOWED, code_pb2.UNIMPLEMENTED, text, {"Allow": "POST"})
    encoding = _ENCODINGS.get(request.content_type)
    if encoding is None:
        text = f"the content type must be {_PROTOBUF} or {_JSON}"
        raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code_pb2.INVALID_ARGUMENT, text)
    return encoding


def _encode(message: Message, encoding: Encoding) -> bytes:
    if encoding is Encoding.PROTOBUF:
        return message.SerializeToString()
    return MessageToJson(message, indent=None).encode()


def _error_response(
    request: web.Request, error: ExportError, status: HTTPStatus, headers: dict[str, str]
) -> web.Response:
    """The error as a `google.rpc.Status` in the request's own encoding; as a line of text if that is none of OTLP's."""
    if error.retry_after is not None:
        headers = {**headers, "Retry-After": str(max(1, math.ceil(error.retry_after)))}
    encoding = _ENCODINGS.get(request.content_type)
    if encoding is None:
        return web.Response(text=error.message + "\n", status=status, headers=headers)
    body = _encode(to_status(error), encoding)
    return web.Response(body=body, status=status, headers=headers, content_type=request.content_type)
