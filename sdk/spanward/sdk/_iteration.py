"""The steps of a traced generator.

A generator's span begins with its first step and ends with its last. It is the current span while the generator's own
code runs, and never while the consumer's does: each step enters the context in which the one before left off, and the
consumer gets its own context back at every yield.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextvars import Token
from typing import Any, Final

from opentelemetry import context as otel_context

from spanward.sdk._operation import Operation

_MOST_ITEMS: Final = 100


class Steps:
    """Runs each step of one iteration in the context of its span, and keeps the first items for `record_result`."""

    __slots__ = ("_context", "_items", "_operation")

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._context = operation.context
        self._items: list[Any] | None = [] if operation.records_result else None

    def run(self, step: Callable[..., Any], *args: Any) -> Any:
        """One step of a generator: the item it yields."""
        return self._keep(self.within(step, *args))

    async def run_async(self, step: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """One step of an asynchronous generator: the item it yields."""
        return self._keep(await self.within_async(step, *args))

    def within(self, step: Callable[..., Any], *args: Any) -> Any:
        """What a generator does in the context of its span, without yielding an item: its closing."""
        token = otel_context.attach(self._context)
        try:
            return step(*args)
        finally:
            self._leave(token)

    async def within_async(self, step: Callable[..., Awaitable[Any]], *args: Any) -> Any:
        """The same of an asynchronous generator."""
        token = otel_context.attach(self._context)
        try:
            return await step(*args)
        finally:
            self._leave(token)

    def _keep(self, item: Any) -> Any:
        if self._items is not None and len(self._items) < _MOST_ITEMS:
            self._items.append(item)
        return item

    def _leave(self, token: Token[Any]) -> None:
        """Remember where the generator's code stopped, inside spans of its own perhaps."""
        self._context = otel_context.get_current()
        otel_context.detach(token)

    def finish(self) -> None:
        """The iteration came to its end, or its consumer wanted no more."""
        self._operation.succeed(self._items)

    def fail(self, error: BaseException) -> None:
        """The iteration was closed, or raised."""
        if isinstance(error, GeneratorExit):
            self.finish()
        else:
            self._operation.fail(error)


async def call_async(step: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """A step without a span."""
    return await step(*args)


class ScopedGenerator(Generator[Any, Any, Any]):
    """A generator each of whose steps runs in the span's context; `yield from` drives it."""

    __slots__ = ("_inner", "_steps")

    def __init__(self, inner: Generator[Any, Any, Any], steps: Steps) -> None:
        self._inner = inner
        self._steps = steps

    def send(self, value: Any, /) -> Any:
        """The next item."""
        return self._steps.run(self._inner.send, value)

    def throw(self, *error: Any) -> Any:
        """Let the consumer's exception out at the yield."""
        return self._steps.run(self._inner.throw, *error)

    def close(self) -> None:
        """The consumer wants no more."""
        self._steps.within(self._inner.close)
