"""What type checkers make of decorated code: exactly what they made of it before.

mypy and pyright check this file in strict mode; at run time it shows that the same code works.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import assert_type

from spanward.sdk import OperationResult, Pipeline, traced


@traced
def bare(number: int, *, text: str = "") -> str:
    return text * number


@traced(name="options", record_args=["number"])
def with_options(number: int) -> list[int]:
    return [number]


@traced
async def coroutine(number: int) -> float:
    return float(number)


@traced(measure=True)
def generator(number: int) -> Generator[int, str, bool]:
    yield number
    return True


@traced
async def async_generator(number: int) -> AsyncGenerator[int, None]:
    yield number


@traced
class Decorated:
    """A class whose public methods are traced."""

    def __init__(self, number: int) -> None:
        self.number = number

    def method(self, factor: int) -> int:
        """A plain method."""
        return self.number * factor

    @traced
    @staticmethod
    def static(text: str) -> str:
        """A static method, decorated outside."""
        return text

    @classmethod
    @traced(kind="client")
    def make(cls, number: int) -> Decorated:
        """A class method, decorated inside."""
        return cls(number)


def test_functions_keep_their_types() -> None:
    """Plain functions and generators: parameters and results as they were declared."""
    assert_type(bare(2, text="a"), str)
    assert_type(with_options(1), list[int])
    assert_type(generator(1), Generator[int, str, bool])
    assert (bare(2, text="a"), with_options(1), list(generator(1))) == ("aa", [1], [1])


def test_classes_keep_their_types() -> None:
    """A decorated class is the same class, and so are its methods."""
    assert_type(Decorated(2), Decorated)
    assert_type(Decorated.make(2).method(3), int)
    assert_type(Decorated.static("a"), str)
    assert Decorated.make(2).method(3) == 6


async def test_asynchronous_code_keeps_its_types() -> None:
    """Coroutines and asynchronous generators."""
    assert_type(await coroutine(1), float)
    assert_type(async_generator(1), AsyncGenerator[int, None])
    assert [item async for item in async_generator(1)] == [1]


async def operate(pipeline: Pipeline) -> OperationResult:
    """Never called: that it type-checks is the test."""
    return await pipeline.process_operation("a.b", "c", "d", retention="7d", parents=["x"], success=True)
