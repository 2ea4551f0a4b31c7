"""Wrappers around each kind of function: same kind, same signature, same results, and a span around it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, Final

from opentelemetry import context as otel_context

from spanward.sdk._iteration import ScopedGenerator, Steps, call_async
from spanward.sdk._operation import Template
from spanward.sdk._options import Options, check_arguments

MARK: Final = "__spanward_traced__"


def wrap(function: Callable[..., Any], options: Options) -> Callable[..., Any]:
    """A traced function that takes the place of `function`.

    Raises:
        ConfigurationError: the options do not fit the function.
    """
    name = function_name(function)
    signature = _signature(function)
    check_arguments(options, signature, name)
    template = Template(options, name, signature)
    if inspect.isasyncgenfunction(function):
        wrapper = _async_generator(function, template)
    elif inspect.isgeneratorfunction(function):
        wrapper = _generator(function, template)
    elif inspect.iscoroutinefunction(function):
        wrapper = _coroutine(function, template)
    else:
        wrapper = _plain(function, template)
    setattr(wrapper, MARK, template.name)
    return wrapper


def function_name(function: Callable[..., Any]) -> str:
    """`module.qualname`, the value of `code.function.name`."""
    inner = inspect.unwrap(function)
    while isinstance(inner, functools.partial):
        inner = inner.func
    qualname = getattr(inner, "__qualname__", type(inner).__qualname__)
    module = getattr(inner, "__module__", None) or type(inner).__module__
    return f"{module}.{qualname}"


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return None


def _plain(function: Callable[..., Any], template: Template) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        operation = template.begin(args, kwargs)
        if operation is None:
            return function(*args, **kwargs)
        token = otel_context.attach(operation.context)
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            operation.fail(error)
            raise
        else:
            operation.succeed(result)
            return result
        finally:
            otel_context.detach(token)

    return wrapper


def _coroutine(function: Callable[..., Any], template: Template) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        operation = template.begin(args, kwargs)
        if operation is None:
            return await function(*args, **kwargs)
        token = otel_context.attach(operation.context)
        try:
            result = await function(*args, **kwargs)
        except BaseException as error:
            operation.fail(error)
            raise
        else:
            operation.succeed(result)
            return result
        finally:
            otel_context.detach(token)

    return wrapper


def _generator(function: Callable[..., Any], template: Template) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        operation = template.begin(args, kwargs)
        if operation is None:
            return (yield from function(*args, **kwargs))
        steps = Steps(operation)
        try:
            result = yield from ScopedGenerator(function(*args, **kwargs), steps)
        except BaseException as error:
            steps.fail(error)
            raise
        steps.finish()
        return result

    return wrapper


def _async_generator(function: Callable[..., Any], template: Template) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        operation = template.begin(args, kwargs)
        steps = None if operation is None else Steps(operation)
        run = call_async if steps is None else steps.run_async
        close = call_async if steps is None else steps.within_async
        try:
            inner = function(*args, **kwargs)
            step, argument = inner.asend, None
            while True:  # what `yield from` does for generators, which has no asynchronous form
                item = await run(step, argument)
                try:
                    step, argument = inner.asend, (yield item)
                except GeneratorExit:
                    await close(inner.aclose)
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever the consumer throws belongs to the generator
                    step, argument = inner.athrow, error
        except StopAsyncIteration:
            if steps is not None:
                steps.finish()
        except BaseException as error:
            if steps is not None:
                steps.fail(error)
            raise

    return wrapper
