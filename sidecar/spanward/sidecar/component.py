"""The component model: what a plug-in implements and what it gets.

A component is a folder `config.py factory.py <name>.py README.md` and one entry point in the group `spanward.<kind>`
that names its factory. docs/components.md walks through one.

Ownership. `consume(batch)` returning means the callee has the batch (ack); raising means the caller still has it
(nack); awaiting is backpressure. `RetryableError` and `PermanentError` (spanward.store.errors) are the two answers to
plan for; anything else is a bug, which is logged, counted, and never retried in a loop.

Life. `start` is called once, consumers before producers; `shutdown` once, producers before consumers, also when `start`
failed half-way. After `shutdown` nothing of the component runs any more. All calls come from the sidecar's event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

import pyarrow as pa
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, ConfigDict, JsonValue

from spanward.sidecar.health import HealthRegistry
from spanward.store.batch import Batch, Signal
from spanward.store.clock import Clock
from spanward.store.intake import DecodedGroup, Request
from spanward.store.log import LogReader
from spanward.store.span_store import SpanStore


class Kind(StrEnum):
    """The kinds of component; each is an entry-point group `spanward.<kind>`."""

    RECEIVER = "receiver"
    PROCESSOR = "processor"
    EXPORTER = "exporter"
    CONNECTOR = "connector"
    EXTENSION = "extension"


SECRET: Final[dict[str, JsonValue]] = {"secret": True}
"""Marks an option whose value is never shown: `Field(json_schema_extra=SECRET)`; of a mapping, its values."""


class Config(BaseModel):
    """What a user sets for a component. One docstring per option, with its unit and what 0 means."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


@runtime_checkable
class Component(Protocol):
    """Anything with a life."""

    async def start(self) -> None:
        """Bind, open, begin; raise SpanwardError with the remedy when that cannot be done."""
        ...

    async def shutdown(self) -> None:
        """Stop taking, finish what was taken, let go. Idempotent."""
        ...


@runtime_checkable
class Consumer(Component, Protocol):
    """Takes batches from the intake log, in the order of their sequence.

    `consume` must be quick (memory, or a hand-over to the component's own task): the clients' acks wait for it.
    """

    async def consume(self, batch: Batch) -> None:
        """Take the batch, or raise."""
        ...

    def committed(self) -> int:
        """The highest sequence up to which this consumer will never need the log again.

        The log keeps every record above the lowest such number and hands it to the consumer again after a restart. A
        consumer that keeps nothing returns the sequence it last consumed.
        """
        ...


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What the client is told of a request that was taken: OTLP's partial success.

    Attributes:
        rejected: spans that were refused; they will be refused again.
        message: why, in one line; "" when none was.
        repeated: True when the same body had been taken before and this is its stored answer.
        accepted: spans taken by this call: those stored and those a rule said not to store; 0 for a repeated body.
    """

    rejected: int = 0
    message: str = ""
    repeated: bool = False
    accepted: int = 0


class Encoding(StrEnum):
    """How a request's bytes are written."""

    PROTOBUF = "protobuf"
    JSON = "json"


class Ingest(Protocol):
    """What a receiver calls: the way into a pipeline."""

    async def __call__(self, body: bytes, encoding: Encoding, tenant: str) -> IngestResult:
        """Decode, govern, log and fsync one ExportTraceServiceRequest; returning is the ack.

        Args:
            body: the decompressed request.
            encoding: how it is written.
            tenant: whose spans these are.

        Raises:
            InvalidRequestError: the body is not the message it should be.
            OverloadedError: a bound was reached; nothing was taken; try after `retry_after`.
            RetryableError: the disk refused; nothing was acknowledged.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """A request after decoding and policy.

    Attributes:
        batch: the governed rows, `sequence` 0.
        rejected: spans refused one by one (an id of wrong length, a time past 2**63-1, ...).
        dropped: spans that a policy rule said not to store; these count as accepted.
        message: why spans were refused, in one line.
    """

    batch: Batch
    rejected: int = 0
    dropped: int = 0
    message: str = ""

    @property
    def rows(self) -> pa.RecordBatch:
        """The batch's rows, which is what the intake logs."""
        return self.batch.rows

    @property
    def accepted(self) -> int:
        """Spans taken: those stored and those that a rule said not to store."""
        return len(self.batch) + self.dropped


@runtime_checkable
class Decoder(Component, Protocol):
    """The processor at the head of a pipeline: bytes to governed rows, in one pass.

    `decode_all` is called from a worker thread and must be safe to call from several.
    """

    def decode_all(self, requests: Sequence[Request]) -> DecodedGroup:
        """Decode requests under the policy, in their order; the `form` of each is an `Encoding`.

        A request that is not the message it should be has an InvalidRequestError as its outcome, and costs no other.
        `spanward.store.intake.grouped` makes a group of requests that were decoded one by one.
        """
        ...


@runtime_checkable
class Processor(Component, Protocol):
    """A processor behind the policy: governed rows to governed rows.

    `process` is called from a worker thread and must be safe to call from several. It must not bring back what the
    policy took out.
    """

    def process(self, batch: Batch) -> Batch:
        """Return the batch to go on with; the given one stays as it is."""
        ...


@dataclass(frozen=True, slots=True)
class Host:
    """What the sidecar gives every component.

    Attributes:
        identifier: the id under which the component is configured, such as `otlp/backup`.
        data: the data folder.
        store: the lake, its hot rows and its keys; one for the whole sidecar.
        log: a reader over the intake log of the component's pipeline (exporters and connectors), None for others.
        clock: the only source of time.
        metrics: where to register Prometheus collectors.
        logger: named after the component.
        report: tell health about a lasting condition of this component: ("degraded", why), ("ok", "").
        health: what all components reported.
    """

    identifier: str
    data: Path
    store: SpanStore
    log: LogReader | None
    clock: Clock
    metrics: CollectorRegistry
    logger: logging.Logger
    report: Callable[[str, str], None]
    health: HealthRegistry


C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Factory:
    """How the sidecar makes components of one type; this is what the entry point names.

    Attributes:
        config: the pydantic model of its options.
        create: called with (config, host); for receivers with (config, host, ingest), where `ingest` leads into the
            receiver's pipeline.
        signals: what it handles.
    """

    config: type[Config]
    create: Callable[..., Component]
    signals: frozenset[Signal] = frozenset({Signal.TRACES})


Job = Callable[[], Awaitable[Any]]


@runtime_checkable
class HasJobs(Protocol):
    """A component that wants work done on a schedule."""

    def jobs(self) -> Iterable[tuple[str, float, Job]]:
        """(name, seconds between runs, coroutine function) of each job; runs never overlap."""
        ...
