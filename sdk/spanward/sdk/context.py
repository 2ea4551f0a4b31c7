"""What surrounds a span: session, request and user ids, and the way of the current span into threads.

Everything rests on `contextvars`, as OpenTelemetry's own context does: asyncio tasks inherit it when they are made,
threads do not. `propagate` and `TracedThreadPoolExecutor` carry it over.
"""

from __future__ import annotations

import contextvars
import functools
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, ParamSpec, TypeVar

from spanward.sdk import attributes

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class SessionContext:
    """Who and what a span belongs to; "" where nothing is known."""

    session_id: str = ""
    request_id: str = ""
    user_id: str = ""

    def attributes(self) -> dict[str, str]:
        """The ids that are known, under their attribute names."""
        pairs = (
            (attributes.SESSION_ID, self.session_id),
            (attributes.REQUEST_ID, self.request_id),
            (attributes.USER_ID, self.user_id),
        )
        return {key: value for key, value in pairs if value}


NOBODY: Final = SessionContext()
"""Outside of any `session`."""
_current: ContextVar[SessionContext] = ContextVar("spanward-session", default=NOBODY)


def current_session() -> SessionContext:
    """The ids in force here; all "" outside of any `session`."""
    return _current.get()


@contextmanager
def session(
    *,
    session_id: str | None = None,
    request_id: str | None = None,
    user_id: str | None = None,
) -> Generator[SessionContext, None, None]:
    """Put ids on every span that is started inside, by `traced` and by any instrumentation on a configured provider.

    Contexts nest: an id that is not given keeps the outer value, and "" takes it away. Ids never leave the process
    (they are not baggage), so they reach no third party with an outgoing request.
    """
    given = {"session_id": session_id, "request_id": request_id, "user_id": user_id}
    inner = replace(_current.get(), **{name: str(value) for name, value in given.items() if value is not None})
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)


def propagate(function: Callable[P, R]) -> Callable[P, R]:
    """Bind `function` to the context of this moment, for a thread that would otherwise start without one.

    The result may be called from any thread, several times and at the same time: each call gets a copy of the context.
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def bound(*args: P.args, **kwargs: P.kwargs) -> R:
        return context.copy().run(function, *args, **kwargs)

    return bound


class TracedThreadPoolExecutor(ThreadPoolExecutor):
    """A ThreadPoolExecutor whose tasks run in the context of whoever submitted them.

    So a span started in a task has the submitter's current span as its parent. `map` goes through `submit` and is
    covered too.
    """

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As ThreadPoolExecutor.submit, with the caller's context."""
        return super().submit(propagate(fn), *args, **kwargs)
