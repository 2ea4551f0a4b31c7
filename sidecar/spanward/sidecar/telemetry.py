"""The sidecar's own metrics over HTTP, and what of them no component counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aiohttp import web
from prometheus_client import CollectorRegistry, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from spanward.sidecar.http_listener import HttpListener
from spanward.store.intake import Intake
from spanward.store.span_store import SpanStore


class MetricsServer:
    """Serves `/metrics` in the format that the scraper asks for (Prometheus text or OpenMetrics)."""

    def __init__(self, endpoint: str, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._listener = HttpListener(endpoint, "service.telemetry.metrics.endpoint")

    @property
    def port(self) -> int:
        """The bound port; 0 while it is not bound."""
        return self._listener.port

    async def start(self) -> None:
        """Bind.

        Raises:
            ConfigurationError: the endpoint is not host:port, or cannot be bound.
        """
        application = web.Application()
        application.router.add_get("/metrics", self._metrics)
        await self._listener.start(application)

    async def shutdown(self) -> None:
        """Unbind. Idempotent."""
        await self._listener.shutdown()

    async def _metrics(self, request: web.Request) -> web.Response:
        encode, content_type = exposition.choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})


class SpineCollector:
    """Prometheus metrics of the store and the intake logs, read when they are scraped."""

    def __init__(self, store: SpanStore, intakes: Callable[[], Mapping[str, Intake]]) -> None:
        self._store = store
        self._intakes = intakes

    def collect(self) -> Iterable[Metric]:
        """See `prometheus_client.registry.Collector`."""
        hot = self._store.hot()
        yield GaugeMetricFamily("spanward_hot_rows", "Spans that are durable but not yet in the lake", hot.rows)
        yield GaugeMetricFamily("spanward_hot_bytes", "Their size in memory", hot.bytes)
        yield from self._intake_metrics()

    def _intake_metrics(self) -> Iterable[Metric]:
        refused = CounterMetricFamily(
            "spanward_intake_refused", "Requests that were refused, by reason", labels=["pipeline", "reason"]
        )
        for pipeline, intake in self._intakes().items():
            for reason, count in intake.stats.refused.items():
                refused.add_metric([pipeline, str(reason)], count)
        yield refused
        families: dict[str, Metric] = {}
        for pipeline, intake in self._intakes().items():
            for name, kind, text, value in _figures(intake):
                family = families.setdefault(name, kind(name, text, labels=["pipeline"]))
                family.add_metric([pipeline], value)  # type: ignore[attr-defined]  # both families have it
        yield from families.values()


def _figures(intake: Intake) -> Iterable[tuple[str, type[CounterMetricFamily | GaugeMetricFamily], str, float]]:
    stats = intake.stats
    yield "spanward_intake_records", CounterMetricFamily, "Log records written", stats.records
    yield "spanward_intake_requests", CounterMetricFamily, "Requests that were acknowledged", stats.requests
    yield "spanward_intake_repeated", CounterMetricFamily, "Requests recognised as a repetition", stats.repeated
    yield "spanward_intake_rows", CounterMetricFamily, "Spans written to the log", stats.rows
    yield "spanward_intake_retries", CounterMetricFamily, "Deliveries to a consumer that were repeated", stats.retries
    yield "spanward_intake_bytes", CounterMetricFamily, "Bytes written to the log", stats.bytes
    yield "spanward_intake_sync_seconds", CounterMetricFamily, "Time spent writing and syncing", stats.sync_seconds
    yield "spanward_intake_log_bytes", GaugeMetricFamily, "Size of the log on disk", intake.log_bytes
