"""The sidecar as a process: opens the data folder, runs the graph, stops on a signal."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from spanward.sidecar.config import ResolvedConfig
from spanward.sidecar.graph import Graph
from spanward.sidecar.health import HealthRegistry
from spanward.sidecar.telemetry import MetricsServer, SpineCollector
from spanward.store.clock import Clock, SystemClock
from spanward.store.span_store import SpanStore

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_log = logging.getLogger("spanward.sidecar")


class Sidecar:
    """One sidecar: `start`, `shutdown`, and `run` for both with signals in between."""

    def __init__(self, config: ResolvedConfig, data: Path, *, clock: Clock | None = None) -> None:
        self._config = config
        self._data = data
        self._clock = clock or SystemClock()
        self._registry = CollectorRegistry()
        self.store: SpanStore | None = None
        self._metrics: MetricsServer | None = None
        self.health = HealthRegistry(self._clock)
        self.graph: Graph | None = None

    @property
    def metrics_port(self) -> int:
        """The port `/metrics` is served on; 0 when it is off."""
        return self._metrics.port if self._metrics is not None else 0

    async def start(self) -> None:
        """Open the data folder and start every component.

        Raises:
            SpanwardError: something cannot be started; the message names it and the remedy.
        """
        try:
            self.store = await asyncio.to_thread(SpanStore.open, self._data, clock=self._clock)
            self.graph = Graph(
                self._config, self.store, clock=self._clock, metrics=self._registry, health=self.health,
            )  # fmt: skip
            await self._start_metrics(self.store, self.graph)
            await self.graph.start()
        except BaseException:
            await self.shutdown()
            raise
        _log.info("ready; data in %s", self._data)

    async def shutdown(self) -> None:
        """Drain and stop; what does not drain in time stays in the intake log. Idempotent."""
        if self.graph is not None:
            try:
                async with asyncio.timeout(self._config.settings.service.shutdown_timeout_seconds):
                    await self.graph.shutdown()
            except TimeoutError:
                _log.warning("shutdown took too long; what is not in the lake yet stays in the intake log")
            self.graph = None
        if self._metrics is not None:
            await self._metrics.shutdown()
        if self.store is not None:
            await asyncio.to_thread(self.store.close)
            self.store = None

    async def run(self, *, on_ready: Callable[[], None] | None = None) -> None:
        """Start, wait for SIGTERM or SIGINT, shut down; a second signal ends the process at once."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop_or_exit, stop)
        await self.start()
        if on_ready is not None:
            on_ready()
        await stop.wait()
        _log.info("draining; a second signal stops at once")
        await self.shutdown()

    async def _start_metrics(self, store: SpanStore, graph: Graph) -> None:
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        spine = SpineCollector(store, lambda: {name: pipeline.intake for name, pipeline in graph.pipelines.items()})
        self._registry.register(spine)
        endpoint = self._config.settings.service.telemetry.metrics.endpoint
        if endpoint is not None:
            self._metrics = MetricsServer(endpoint, self._registry)
            await self._metrics.start()


def _stop_or_exit(stop: asyncio.Event) -> None:
    if stop.is_set():
        # the log holds everything that was acknowledged: nothing is lost by leaving now
        logging.shutdown()
        sys.stderr.flush()
        signal.raise_signal(signal.SIGKILL)
    stop.set()


def configure_logging(level: str) -> None:
    """Log to stderr, one line a record."""
    logging.basicConfig(
        level=_LEVELS[level],
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
        stream=sys.stderr,
        force=True,
    )
    # the libraries' own chatter only when something is wrong
    for name in ("aiohttp", "asyncio", "grpc"):
        logging.getLogger(name).setLevel(max(_LEVELS[level], logging.WARNING))


def run(config: ResolvedConfig, data: Path, *, on_ready: Callable[[], None] | None = None) -> None:
    """Run a sidecar in this process until it is told to stop.

    Raises:
        SpanwardError: it could not start.
    """
    configure_logging(config.settings.service.telemetry.logs.level)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Sidecar(config, data).run(on_ready=on_ready))
