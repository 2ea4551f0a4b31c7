"""Rows, consumers and disks that misbehave: what the tests of the log and the intake share."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest import mock

import pyarrow as pa

from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord, Verdict
from spanward.store.batch import Batch
from spanward.store.intake import DecodedGroup, Request, grouped
from spanward.store.rows import build_rows

NOW_NS = 1_767_225_600_000_000_000


def make_rows(count: int, *, name: str = "work", service: str = "shop", tenant: str = "default") -> pa.RecordBatch:
    """`count` rows in the schema SPANS whose span names are `name`-0, `name`-1, ..."""
    resource, scope = ResourceRecord({"service.name": service}), ScopeRecord("tests")
    records = [
        SpanRecord(f"{number:032x}", f"{number:016x}", f"{name}-{number}", 1, 2, resource, scope, verdict=Verdict())
        for number in range(count)
    ]
    return build_rows(records, tenant=tenant, received_at_ns=NOW_NS)


@dataclass
class Decoded:
    """What a decoder hands over."""

    rows: pa.RecordBatch
    rejected: int = 0
    message: str = ""
    accepted: int = 0


Decode = Callable[[int], Decoded]
"""What these tests send as the form of a request: it decodes it, given the time of its receipt."""


def decode_requests(requests: Sequence[Request]) -> DecodedGroup:
    """Decode each request as its form says."""
    return grouped([_decoded(request) for request in requests])


def _decoded(request: Request) -> Decoded | Exception:
    assert callable(request.form)
    try:
        decoded = request.form(request.received_at_ns)
    except Exception as error:  # noqa: BLE001 - the outcome of this request
        return error
    assert isinstance(decoded, Decoded)
    return decoded


def decoder(count: int = 1, *, name: str = "work", rejected: int = 0, message: str = "") -> Decode:
    """A decode function that makes `count` rows."""
    return lambda _received_at_ns: Decoded(make_rows(count, name=name), rejected, message)


@dataclass
class Collector:
    """A consumer that keeps what it is given, and raises what it is told to raise first."""

    batches: list[Batch] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    standing: int = 0
    attempts: int = 0

    async def consume(self, batch: Batch) -> None:
        """Take it, unless an error is left to raise."""
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        self.batches.append(batch)

    def committed(self) -> int:
        """What the test says."""
        return self.standing

    def names(self) -> list[str]:
        """The span names of all rows, in order."""
        return [name for batch in self.batches for name in batch.rows["name"].to_pylist()]

    def sequences(self) -> list[int]:
        """Of the batches."""
        return [batch.sequence for batch in self.batches]


@contextmanager
def failing(call: str, code: int = 28, *, after: int = 0) -> Generator[mock.Mock]:
    """`os.<call>` raises OSError(code) from its call number `after` on."""
    real: Callable[..., object] = getattr(os, call)
    calls = 0

    def refuse(*arguments: object, **options: object) -> object:
        nonlocal calls
        calls += 1
        if calls > after:
            raise OSError(code, os.strerror(code))
        return real(*arguments, **options)

    with mock.patch.object(os, call, side_effect=refuse) as patched:
        yield patched
