"""Reading a request's body: in bounded time, into bounded memory, decompressed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

from aiohttp import ClientError, web
from google.rpc import code_pb2

from spanward.receiver.otlp.http_errors import HttpError
from spanward.receiver.otlp.inflate import BadGzipError, TooLargeError, gunzip

_INFLATE_IN_THREAD: Final = 64 << 10  # compressed bytes; below it a thread costs more than it saves the event loop


class BodyReader:
    """Reads bodies of at most `max_bytes`, `concurrency` at a time, each within `seconds`."""

    def __init__(self, max_bytes: int, concurrency: int, seconds: float) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._turns = asyncio.Semaphore(concurrency)

    @asynccontextmanager
    async def admitted(self) -> AsyncGenerator[None]:
        """Wait for a turn, which lasts until the request has been answered; its body is unread until then.

        Raises:
            HttpError: 503, no turn came in time.
        """
        try:
            async with asyncio.timeout(self._seconds):
                await self._turns.acquire()
        except TimeoutError as error:
            text = "too many requests at once"
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, code_pb2.UNAVAILABLE, text, retry_after=1) from error
        try:
            yield
        finally:
            self._turns.release()

    async def read(self, request: web.Request) -> bytes:
        """The decompressed body.

        Raises:
            HttpError: 408, 413, 415 for an unknown encoding, 400 for a damaged one.
        """
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"identity", "", "gzip"}:
            text = "the content encoding must be gzip or identity"
            headers = {"Accept-Encoding": "gzip"}
            raise HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, code_pb2.INVALID_ARGUMENT, text, headers)
        if request.content_length is not None and request.content_length > self._max_bytes:
            raise self._too_large()
        body = await self._received(request)
        return await self._inflated(body) if encoding == "gzip" else body

    async def _received(self, request: web.Request) -> bytes:
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > self._max_bytes:
                        raise self._too_large()
        except TimeoutError as error:
            text = f"the body did not arrive within {self._seconds:g} seconds"
            raise HttpError(HTTPStatus.REQUEST_TIMEOUT, code_pb2.DEADLINE_EXCEEDED, text) from error
        except (ClientError, ConnectionError, web.RequestPayloadError) as error:
            text = "the body ended before it was complete"
            raise HttpError(HTTPStatus.BAD_REQUEST, code_pb2.INVALID_ARGUMENT, text) from error
        return bytes(body)

    async def _inflated(self, body: bytes) -> bytes:
        try:
            if len(body) < _INFLATE_IN_THREAD:
                return gunzip(body, self._max_bytes)
            return await asyncio.to_thread(gunzip, body, self._max_bytes)
        except TooLargeError as error:
            raise self._too_large() from error
        except BadGzipError as error:
            text = f"the body cannot be decompressed: {error}"
            raise HttpError(HTTPStatus.BAD_REQUEST, code_pb2.INVALID_ARGUMENT, text) from error

    def _too_large(self) -> HttpError:
        text = f"the request is larger than {self._max_bytes >> 20} MiB; send smaller batches"
        return HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, code_pb2.INVALID_ARGUMENT, text)
