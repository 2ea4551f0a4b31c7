"""From a resolved configuration to running components.

Data flows one way: receivers call a pipeline's `Ingest`; the policy decodes and governs; the intake log makes it
durable; exporters and connectors get every batch in the order of the log. Consumers start before producers and stop
after them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from prometheus_client import CollectorRegistry

from spanward.sidecar.component import (
    Component,
    Consumer,
    Decoded,
    Decoder,
    Encoding,
    HasJobs,
    Host,
    IngestResult,
    Kind,
    Processor,
)
from spanward.sidecar.config import ComponentSpec, PipelineConfig, ResolvedConfig
from spanward.sidecar.health import HealthRegistry
from spanward.sidecar.scheduler import Scheduler
from spanward.store.batch import Batch, Signal
from spanward.store.clock import Clock
from spanward.store.errors import ConfigurationError
from spanward.store.intake import DecodedGroup, Intake, IntakeSettings, Outcome, Request, grouped
from spanward.store.layout import intake_folder
from spanward.store.log import IntakeLog, LogReader
from spanward.store.span_store import SpanStore


class Pipeline:
    """The spine: what a receiver's bytes go through until they are acknowledged."""

    def __init__(self, intake: Intake) -> None:
        self.intake = intake

    async def ingest(self, body: bytes, encoding: Encoding, tenant: str) -> IngestResult:
        """See `spanward.sidecar.component.Ingest`."""
        result = await self.intake.submit(tenant, body, encoding)
        return IngestResult(result.rejected, result.message, result.repeated, result.accepted)


class _Processing:
    """The policy, and the processors behind it: each sees the rows of one request, as if it came alone."""

    def __init__(self, decoder: Decoder, processors: tuple[Processor, ...]) -> None:
        self._decoder = decoder
        self._processors = processors

    def __call__(self, requests: Sequence[Request]) -> DecodedGroup:
        group = self._decoder.decode_all(requests)
        return grouped(list(self._processed(group))) if self._processors else group

    def _processed(self, group: DecodedGroup) -> Iterator[Decoded | Exception]:
        first = 0
        for outcome in group.outcomes:
            if isinstance(outcome, Exception):
                yield outcome
                continue
            rows = group.rows.slice(first, outcome.rows)
            first += outcome.rows
            yield self._process(Decoded(Batch(Signal.TRACES, rows), outcome.rejected, message=outcome.message), outcome)

    def _process(self, decoded: Decoded, outcome: Outcome) -> Decoded | Exception:
        batch = decoded.batch
        try:
            for processor in self._processors:
                batch = processor.process(batch)
        except Exception as error:  # noqa: BLE001 - a processor's bug costs the request that it met, and no other
            return error
        return replace(decoded, batch=batch, dropped=outcome.accepted - outcome.rows)


class Graph:
    """Every component of a configuration, with one life."""

    def __init__(
        self,
        config: ResolvedConfig,
        store: SpanStore,
        *,
        clock: Clock,
        metrics: CollectorRegistry,
        health: HealthRegistry,
    ) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._health = health
        self._started: list[tuple[str, Callable[[], object]]] = []
        self._scheduler = Scheduler()
        self._disk_refusals: dict[str, int] = {}
        self.pipelines: dict[str, Pipeline] = {}
        self.components: dict[str, Component] = {}

    async def start(self) -> None:
        """Start everything; on failure what had started is shut down again.

        Raises:
            SpanwardError: a component could not start; the message names it and the remedy.
        """
        try:
            service = self._config.settings.service
            for identifier in service.extensions:
                await self._start(self._config.spec(Kind.EXTENSION, identifier), log=None)
            for identifier, pipeline in service.pipelines.items():
                await self._start_pipeline(identifier, pipeline)
        except BaseException:
            await self.shutdown()
            raise
        self._health.set_ready(True)

    async def shutdown(self) -> None:
        """Stop receivers, drain the pipelines, stop exporters, then extensions. Idempotent."""
        self._health.set_ready(False)
        self._scheduler.stop()
        await self._stop_components()
        await self._scheduler.shutdown()  # last: a long compaction must not hold up the drain

    async def _stop_components(self) -> None:
        while self._started:
            name, stop = self._started.pop()
            try:
                outcome = stop()
                if asyncio.iscoroutine(outcome):
                    await outcome
            except Exception:
                # one component's bug must not keep the others from letting go of what they hold
                logging.getLogger(f"spanward.{name}").exception("shutdown failed")

    async def _start_pipeline(self, identifier: str, config: PipelineConfig) -> None:
        folder = intake_folder(self._store.data, identifier)
        segment_bytes = int(config.intake.segment_mib * (1 << 20))
        log = IntakeLog.open(folder, self._store.keyring, segment_bytes=segment_bytes, clock=self._clock)
        self._started.append((identifier, partial(self._close_log, identifier, log)))
        self._report_damage(identifier, log)
        reader = log.reader()
        consumers = [await self._start_consumer(name, reader) for name in config.exporters]
        decoder, processors = await self._start_processors(identifier, config)
        decode = _Processing(decoder, processors)
        intake = Intake(
            log, self._store.keyring, consumers, decode, clock=self._clock, settings=_intake_settings(config)
        )
        await intake.start()
        self._started.append((identifier, intake.shutdown))
        self._scheduler.every(
            f"{identifier}: tend the intake log",
            config.intake.trim_interval_seconds,
            partial(self._tend, identifier, intake),
        )
        pipeline = self.pipelines[identifier] = Pipeline(intake)
        for name in config.receivers:
            await self._start(self._config.spec(Kind.RECEIVER, name), log=None, arguments=(pipeline.ingest,))

    async def _close_log(self, pipeline: str, log: IntakeLog) -> None:
        """Close a log once its consumers have ended, without what they have by now: it would expire unseen there."""
        try:
            if pipeline in self.pipelines:
                await asyncio.to_thread(self.pipelines[pipeline].intake.trim)
        finally:
            log.close()

    async def _start_consumer(self, identifier: str, log: LogReader) -> Consumer:
        component = await self._start(self._config.sink(identifier), log=log)
        if not isinstance(component, Consumer):
            raise ConfigurationError(f"{identifier}: this component does not consume batches; it cannot be an exporter")
        return component

    async def _start_processors(self, pipeline: str, config: PipelineConfig) -> tuple[Decoder, tuple[Processor, ...]]:
        first, *others = [
            await self._start(self._config.spec(Kind.PROCESSOR, name), log=None) for name in config.processors
        ]
        if not isinstance(first, Decoder):
            raise ConfigurationError(
                f"service.pipelines.{pipeline}.processors: {config.processors[0]!r} is not a policy; put one first, "
                "such as 'policy': nothing ungoverned may be stored",
            )
        rest: list[Processor] = []
        for name, component in zip(config.processors[1:], others, strict=True):
            if not isinstance(component, Processor):
                raise ConfigurationError(
                    f"service.pipelines.{pipeline}.processors: {name!r} cannot stand behind the policy"
                )
            rest.append(component)
        return first, tuple(rest)

    async def _start(
        self,
        spec: ComponentSpec,
        *,
        log: LogReader | None,
        arguments: tuple[object, ...] = (),
    ) -> Component:
        name = f"{spec.kind}/{spec.identifier}"
        host = Host(
            identifier=spec.identifier,
            data=self._store.data,
            store=self._store,
            log=log,
            clock=self._clock,
            metrics=self._metrics,
            logger=logging.getLogger(f"spanward.{name}"),
            report=partial(self._health.report, name),
            health=self._health,
        )
        with _named(spec):
            component = spec.factory.create(spec.config, host, *arguments)
            # registered first: a component that fails half-way through start still lets go of what it took
            self._started.append((name, component.shutdown))
            await component.start()
        self._health.report(name, "ok")
        self.components[name] = component
        if isinstance(component, HasJobs):
            for job, seconds, run in component.jobs():
                self._scheduler.every(f"{name}: {job}", seconds, run)
        return component

    async def _tend(self, pipeline: str, intake: Intake) -> None:
        """Cut what nobody needs off the log; tell health of a disk that refuses and of consumers that are cut off."""
        refused = intake.stats.refused.get("disk", 0)
        news = refused - self._disk_refusals.get(pipeline, 0)
        self._disk_refusals[pipeline] = refused
        reason = f"the disk refused the intake log, {news} requests were sent back; the sidecar's log says why"
        self._health.report(f"disk/{pipeline}", "degraded" if news else "ok", reason if news else "")
        suspended = "; ".join(
            f"{name} gets nothing until a restart: {why}" for name, why in intake.stats.suspended.items()
        )
        self._health.report(f"delivery/{pipeline}", "degraded" if suspended else "ok", suspended)
        await asyncio.to_thread(intake.trim)

    def _report_damage(self, pipeline: str, log: IntakeLog) -> None:
        for damage in log.damage():
            logging.getLogger(f"spanward.intake.{pipeline}").error("%s", damage)
        # a write that a crash cut short looks like a record that somebody cut: both are told, with the place
        found = [*log.damage(), *([] if log.torn is None else [log.torn])]
        if found:
            more = f" (and {len(found) - 1} more places, see the sidecar's log)" if len(found) > 1 else ""
            self._health.report(f"intake/{pipeline}", "degraded", f"{found[0]}{more}")


def _intake_settings(config: PipelineConfig) -> IntakeSettings:
    return IntakeSettings(
        dedup_window_seconds=config.intake.dedup_window_seconds,
        max_pending_bytes=config.intake.max_pending_mib << 20,
        max_log_bytes=config.intake.max_log_mib << 20,
    )


@contextmanager
def _named(spec: ComponentSpec) -> Generator[None, None, None]:
    """What is wrong with a component is told with its place in the configuration: it knows only its own options."""
    place = f"{spec.kind}s.{spec.identifier}"
    try:
        yield
    except ConfigurationError as error:
        text = str(error)
        raise ConfigurationError(text if text.startswith(place) else f"{place}: {text}") from error
