"""What the exporter counts, in the Collector's names."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from spanward.sidecar.instruments import counter, gauge


class Instruments:
    """The counters of one exporter."""

    def __init__(self, metrics: CollectorRegistry, exporter: str) -> None:
        labels = ("exporter",)
        self._sent = counter(metrics, "otelcol_exporter_sent_spans", "Spans that the destination took.", labels).labels(
            exporter
        )
        self._failed = counter(
            metrics, "otelcol_exporter_send_failed_spans", "Spans that the destination refused for good.", labels
        ).labels(exporter)
        self._retries = counter(
            metrics, "spanward_exporter_retries", "Requests that have to be sent again.", labels
        ).labels(exporter)
        self._skipped = counter(
            metrics, "spanward_exporter_skipped_records", "Log records that could not be written as OTLP.", labels
        ).labels(exporter)
        self._backlog = gauge(
            metrics, "otelcol_exporter_queue_size", "Log records that are not forwarded yet.", labels
        ).labels(exporter)

    def sent(self, spans: int) -> None:
        """Spans were taken."""
        self._sent.inc(spans)

    def failed(self, spans: int) -> None:
        """Spans were refused for good."""
        self._failed.inc(spans)

    def retried(self) -> None:
        """A request has to be sent again."""
        self._retries.inc()

    def skipped_records(self) -> None:
        """A record could not be written as OTLP."""
        self._skipped.inc()

    def backlog(self, records: int) -> None:
        """So many log records wait."""
        self._backlog.set(records)
