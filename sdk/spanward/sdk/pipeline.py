"""`Pipeline`: events that are not function calls, over the same spans, with the policy's verdict as an answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self, Unpack

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from spanward.processor.otel.convert import Converter
from spanward.processor.policy.config import Policy
from spanward.processor.policy.labels import Classification, Retention
from spanward.sdk import attributes as names
from spanward.sdk._answers import reference, registered_subject, result
from spanward.sdk._batcher import Batcher, Counts, Item
from spanward.sdk._event import EventDetails, EventRecord, make_span
from spanward.sdk._keys import load_hash_keys
from spanward.sdk._operation import SCOPE_NAME
from spanward.sdk._options import label_attributes, several
from spanward.sdk._results import EventReference, OperationResult, PipelineStatus
from spanward.sdk._settings import load_policy, make_destination, make_resource
from spanward.sdk._sinks import Sink, open_sink
from spanward.store.errors import ConfigurationError

LARGEST_BATCH: Final = 10_000
_NO_SPAN: Final = OperationResult(event_id="", trace_id="", span_id="")


class Pipeline:
    """Collects, validates, governs and stores events.

        async with Pipeline(lake="./lake", service_name="engine") as pipeline:
            result = await pipeline.process_operation("inference", "llm", "answer", input=prompt, output=text)

    An async context manager, bound to the event loop that enters it; its methods may be called from any number of
    tasks at once. Each event is a span, a child of the current one, and always recorded, whatever a sampler says. The
    queue is bounded: when the destination is slow, callers wait; nothing is thrown away to make room.

    Args:
        endpoint: OTLP endpoint, as for `configure`.
        lake: folder to write into, instead of an endpoint.
        service_name, resource_attributes: the resource of the spans.
        policy: a Policy or the path of its file.
        hash_key_file, keyring: where the keys of keyed hashes are, for an endpoint; a lake has its own.
        protocol, headers, compression, timeout, insecure: of the OTLP exporter, as for `configure`. Files of a lake are
            always compressed with zstd.
        batch_size: most events in one write, 1..10,000.
        flush_interval_seconds: longest time that an event nobody waits for is held back.
        queue_size: most events taken and not yet stored; callers wait beyond it.
        attempts: how often a batch is tried before its events count as failed.
        result_timeout_seconds: how long `process_operation` waits for its event to be stored. When that passes, the
            event stays on its way, and the result says `stored=False`.

    Raises:
        ConfigurationError: a setting is wrong (at once), or the destination cannot be opened (on entering).
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        lake: str | os.PathLike[str] | None = None,
        service_name: str | None = None,
        resource_attributes: Mapping[str, Any] | None = None,
        policy: Policy | str | os.PathLike[str] | None = None,
        hash_key_file: str | os.PathLike[str] | None = None,
        keyring: str | os.PathLike[str] | None = None,
        protocol: str | None = None,
        headers: Mapping[str, str] | None = None,
        compression: str | None = None,
        timeout: float | None = None,
        insecure: bool | None = None,
        batch_size: int = 512,
        flush_interval_seconds: float = 1.0,
        queue_size: int = 10_000,
        attempts: int = 8,
        result_timeout_seconds: float = 30.0,
    ) -> None:
        _check(batch_size, flush_interval_seconds, queue_size, attempts)
        self._destination = make_destination(
            endpoint,
            lake=lake,
            protocol=protocol,
            headers=headers,
            compression=compression,
            timeout=timeout,
            insecure=insecure,
        )
        self._policy = load_policy(policy)
        self._keys = () if self._destination.lake is not None else load_hash_keys(hash_key_file, keyring)
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=make_resource(service_name, resource_attributes),
            shutdown_on_exit=False,
        )
        self._converter = Converter()
        self._batch_size = batch_size
        self._interval = flush_interval_seconds
        self._queue_size = queue_size
        self._attempts = attempts
        self._patience = result_timeout_seconds
        self._sink: Sink | None = None
        self._batcher: Batcher | None = None

    async def __aenter__(self) -> Self:
        if self._sink is not None:
            raise ConfigurationError("this Pipeline is open already; make one for each `async with`")
        self._sink = await asyncio.to_thread(open_sink, self._destination, self._policy, self._keys)
        self._batcher = Batcher(
            self._sink.governor.govern,
            self._sink.store,
            batch_size=self._batch_size,
            flush_interval_seconds=self._interval,
            queue_size=self._queue_size,
            attempts=self._attempts,
        )
        self._batcher.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Store what is left, then close the destination."""
        sink, batcher = self._opened()
        try:
            await batcher.close()
        finally:
            self._closed_counts = batcher.counts
            self._batcher = None
            await asyncio.to_thread(sink.close)

    _closed_counts: Counts | None = None

    def _opened(self) -> tuple[Sink, Batcher]:
        if self._sink is None or self._batcher is None:
            raise ConfigurationError("this Pipeline is not open; use it inside `async with Pipeline(...) as pipeline:`")
        return self._sink, self._batcher

    async def collect_event(
        self,
        event_type: str,
        name: str | None = None,
        *,
        component: str | None = None,
        input: Any = None,  # noqa: A002 - the event record's own word
        output: Any = None,
        metadata: Mapping[str, Any] | None = None,
        **details: Unpack[EventDetails],
    ) -> EventReference:
        """Take an event and return as soon as it is in the queue; it is stored with the next batch.

        Args:
            event_type: such as "model.call".
            name: of the span; default the event type.
            component: part of the system that it comes from.
            input: what went in.
            output: what came out.
            metadata: anything else, each entry an attribute `spanward.metadata.<key>`.
            details: the other fields of the event record; see docs/event-record.md.

        Raises:
            ConfigurationError: a label or parent is wrong, or the pipeline is not open.
        """
        event = EventRecord(
            name=name or event_type,
            event_type=event_type,
            component=component,
            input=input,
            output=output,
            metadata=metadata or {},
            **details,
        )
        item = await self._add(event, hurry=False)
        return _NO_SPAN if item is None else reference(event, item)

    async def process_operation(  # noqa: PLR0917 - an operation is told in this order; the rest goes by keyword
        self,
        operation_type: str,
        component: str,
        operation_name: str,
        input: Any = None,  # noqa: A002 - the event record's own word
        output: Any = None,
        metadata: Mapping[str, Any] | None = None,
        **details: Unpack[EventDetails],
    ) -> OperationResult:
        """Collect, validate, govern and store one operation; the result is the policy's verdict on it.

        Concurrent calls share writes. Arguments are as for `collect_event`; `operation_type` is the event type.

        Raises:
            ConfigurationError: a label or parent is wrong, or the pipeline is not open.
        """
        event = EventRecord(
            name=operation_name,
            event_type=operation_type,
            component=component,
            input=input,
            output=output,
            metadata=metadata or {},
            **details,
        )
        return await self._process(event)

    async def register(
        self,
        target: EventReference | str | os.PathLike[str],
        *,
        classification: Classification | str | None = None,
        retention: Retention | str | int | None = None,
        privacy_tags: Iterable[str] = (),
    ) -> OperationResult:
        """Put classification, retention and privacy tags of an event or a lake file on record.

        With a lake it goes into the folder's compliance store; with an endpoint it travels as a span
        `spanward.register`, linked to the event. A label that is not given is the one in force for the event, where
        `target` is its OperationResult, and otherwise INTERNAL, 30 days.

        Args:
            target: an event (what another method returned, or its id), or the path of a lake file.
            classification: the class of the target.
            retention: how long it is to be kept.
            privacy_tags: such as "contains-health-data".

        Raises:
            ConfigurationError: a label is wrong, or the pipeline is not open.
        """
        sink, _ = self._opened()
        if isinstance(target, OperationResult):
            classification = target.classification if classification is None else classification
            retention = target.retention if retention is None else retention
        labels = label_attributes(classification, retention)
        tags = list(several("privacy_tags", privacy_tags))
        named = target.event_id if isinstance(target, EventReference) else os.fspath(target)
        recorded = await asyncio.to_thread(
            sink.register,
            named,
            Classification.parse(labels[names.CLASSIFICATION]) if classification is not None else None,
            Retention.parse(labels[names.RETENTION]) if retention is not None else None,
            tags,
        )
        if recorded:
            return OperationResult(event_id=named, trace_id="", span_id="", accepted=True, stored=True)
        event = EventRecord(
            name="spanward.register",
            event_type="spanward.register",
            classification=classification,
            retention=retention,
            privacy_tags=tags,
            parents=registered_subject(target),
            relation="subject",
            attributes={names.REGISTRATION_TARGET: named},
        )
        return await self._process(event)

    async def flush(self) -> bool:
        """Wait until all events taken so far are settled; True when all of them are stored."""
        _, batcher = self._opened()
        return await batcher.flush()

    def status(self) -> PipelineStatus:
        """How the pipeline is doing; also after it was closed."""
        batcher = self._batcher
        counts = batcher.counts if batcher is not None else self._closed_counts or Counts()
        lake = self._destination.lake
        return PipelineStatus(
            state="open" if batcher is not None else "closed",
            destination=str(lake) if lake is not None else self._destination.endpoint or self._destination.protocol,
            waiting=batcher.unsettled if batcher is not None else 0,
            accepted=counts.accepted,
            stored=counts.stored,
            dropped=counts.dropped,
            failed=counts.failed,
            batches=counts.batches,
            batch_size=self._batch_size,
            flush_interval_seconds=self._interval,
            pii=dict(counts.pii),
            last_error=counts.last_error,
        )

    async def _process(self, event: EventRecord) -> OperationResult:
        item = await self._add(event, hurry=True)
        if item is None:
            return _NO_SPAN
        try:
            # shielded: that somebody stopped waiting must not settle the item
            stored = await asyncio.wait_for(asyncio.shield(item.settled), self._patience)
        except TimeoutError:
            stored = False
        return result(event, item, stored=stored)

    async def _add(self, event: EventRecord, *, hurry: bool) -> Item | None:
        _, batcher = self._opened()
        span = make_span(self._provider.get_tracer(SCOPE_NAME), event)
        if not isinstance(span, ReadableSpan):  # OTEL_SDK_DISABLED
            return None
        return await batcher.add(span, self._converter.to_record(span), hurry=hurry)


def _check(batch_size: int, flush_interval_seconds: float, queue_size: int, attempts: int) -> None:
    if not 1 <= batch_size <= LARGEST_BATCH:
        raise ConfigurationError(f"batch_size={batch_size} is not within 1..{LARGEST_BATCH}")
    if not flush_interval_seconds > 0:
        raise ConfigurationError(f"flush_interval_seconds={flush_interval_seconds} is not above 0")
    if queue_size < batch_size:
        raise ConfigurationError(
            f"queue_size={queue_size} is below batch_size={batch_size}: no batch would ever be full"
        )
    if attempts < 1:
        raise ConfigurationError(f"attempts={attempts} is below 1")
