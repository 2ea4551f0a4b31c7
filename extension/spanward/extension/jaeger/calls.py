"""What every call has in common: whose data it reads, a thread to read it in, and how its errors are told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, NoReturn, TypeAlias, TypeVar

import grpc
import grpc.aio

from spanward.store.errors import InvalidRequestError, RetryableError, SpanwardError

T = TypeVar("T")
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_DEFAULT_TENANT: Final = "default"
_END: Final = object()


class Calls:
    """Runs blocking reads of the store for gRPC calls.

    A call that its client cancels stops at the next message: the step that a thread is in is finished, and no further
    one begun.
    """

    def __init__(self, executor: Executor, tenant_header: str, logger: logging.Logger) -> None:
        self._executor = executor
        self._tenant_header = tenant_header.lower()
        self._logger = logger

    def tenant(self, context: Context) -> str:
        """Whose spans the caller means."""
        for key, value in context.invocation_metadata() or ():
            if self._tenant_header and key == self._tenant_header and value:
                return value if isinstance(value, str) else value.decode("utf-8", "replace")
        return _DEFAULT_TENANT

    async def answer(self, context: Context, read: Callable[[], T]) -> T:
        """What `read` returns, from a worker thread."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, read)
        except Exception as error:  # noqa: BLE001 - the edge: whatever it is, the client is told and the log has it
            return await self._abort(context, error)

    async def stream(self, context: Context, read: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
        """What `read` yields, each step in a worker thread and begun only when the client has taken the last."""
        items = await self.answer(context, read)
        while True:
            item: Any = await self.answer(context, partial(next, items, _END))
            if item is _END:
                return
            yield item

    async def _abort(self, context: Context, error: Exception) -> NoReturn:
        code, line = _status(error)
        if code is grpc.StatusCode.UNKNOWN:
            self._logger.error("a call of the Jaeger storage API failed", exc_info=error)
        await context.abort(code, line)
        raise AssertionError("abort raises")


def _status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The gRPC code of an error, and the one line that the client reads."""
    match error:
        case InvalidRequestError():
            return grpc.StatusCode.INVALID_ARGUMENT, str(error)
        case RetryableError():
            return grpc.StatusCode.UNAVAILABLE, str(error)
        case SpanwardError():
            return grpc.StatusCode.INTERNAL, str(error)
        case _:
            return grpc.StatusCode.UNKNOWN, "the sidecar failed in a way it did not plan for; its log says how"
