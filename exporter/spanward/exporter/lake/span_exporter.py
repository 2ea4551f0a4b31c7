"""`LakeSpanExporter`: an OpenTelemetry exporter that writes into a lake folder, without a sidecar.

For scripts, notebooks and tests. `spanward.sdk.configure(lake=...)` makes one; by hand:

    provider.add_span_processor(BatchSpanProcessor(LakeSpanExporter("./lake")))
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from spanward.exporter.lake.lake_writer import LakeWriter, check_interval
from spanward.processor.otel.convert import Converter
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.labels import Classification, Retention
from spanward.processor.policy.locks import ForkSafeLock
from spanward.processor.policy.span import SpanRecord
from spanward.store.clock import Clock, SystemClock
from spanward.store.errors import RetryableError, SpanwardError
from spanward.store.rows import build_rows

_log = logging.getLogger("spanward.exporter.lake")


class LakeSpanExporter(SpanExporter):
    """Governs spans under the folder's own keys and stores them: SUCCESS means that they are on disk.

    Exporters of one process may share a folder; no two processes can. A forked child exports nothing through the
    exporter of its parent: give it an exporter of its own after the fork, into another folder or to a sidecar.

    Args:
        folder: the data folder; made if it is not there.
        policy: default the built-in one.
        tenant: whose spans these are.
        commit_interval_seconds: how often stored spans are moved from the log into the table's files. They are
            queryable before that.
        clock: the only source of time.

    Raises:
        LockedError: another process writes into the folder; if it is a sidecar, send to its endpoint.
        StoreError: the folder is not as it must be; the message names the path and the remedy.
        ConfigurationError: the interval is wrong.
    """

    governs: Final = True
    """Tells `configure` that raw spans may be given to this exporter."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        policy: Policy | None = None,
        *,
        tenant: str = "default",
        commit_interval_seconds: float = 2.0,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._tenant = tenant
        interval = check_interval(commit_interval_seconds)
        self._writer = LakeWriter.open(Path(folder), commit_interval_seconds=interval, clock=self._clock)
        self._open = True
        self._lock = ForkSafeLock()
        self._converter = Converter()
        self.governor = Governor(policy or Policy.default(), self._writer.store.keyring.hash_keys())

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Govern and store; FAILURE, with the reason in the log, when the spans are not stored. Never raises."""
        try:
            records = self._records(spans)
            self.governor.govern(records)
            self.write(records)
        except SpanwardError as error:
            _log.warning("%d spans are not stored: %s", len(spans), error)
            return SpanExportResult.FAILURE
        except Exception:  # noqa: BLE001 - whatever it was, the host must not notice
            _log.exception("%d spans are not stored", len(spans))
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def _records(self, spans: Sequence[ReadableSpan]) -> list[SpanRecord]:
        """The spans as records, without those that cannot be one: a bad span does not cost its neighbours."""
        records: list[SpanRecord] = []
        with self._lock:
            for span in spans:
                try:
                    records.append(self._converter.to_record(span))
                except ValueError as error:
                    _log.warning("a span is left out: %s", error)
        return records

    def write(self, records: Sequence[SpanRecord]) -> None:
        """Store governed records, all or none; those that the policy dropped are left out.

        Raises:
            RetryableError: the disk refused, or the exporter is shut down.
            PermanentError: more than one log record can hold, or the process is a forked child.
            ValueError: a record has no verdict.
        """
        if not self._open:
            raise RetryableError(f"the exporter into {self._writer.folder} is shut down")
        received_at_ns = self._clock.now_ns()
        rows = build_rows(records, tenant=self._tenant, received_at_ns=received_at_ns)
        if rows.num_rows:
            self._writer.append(rows, tenant=self._tenant, received_at_ns=received_at_ns)

    def register(
        self,
        subject: str,
        classification: Classification | None = None,
        retention: Retention | None = None,
        privacy_tags: Sequence[str] = (),
    ) -> None:
        """Put the labels of an event, or of a file under the lake, on record in the compliance store.

        Raises:
            StoreError: the record cannot be written.
            PermanentError: the process is a forked child.
        """
        self._writer.check_process()
        given: dict[str, Any] = {"classification": classification, "retention": retention}
        self._writer.store.compliance.register(
            subject,
            kind="file" if "/" in subject or subject.endswith(".parquet") else "event",
            privacy_tags=privacy_tags,
            **{name: value for name, value in given.items() if value is not None},
        )

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - a commit cannot be cut short
        """Move all that is stored into the table's files; False when the disk refused."""
        return self._writer.try_commit()

    def shutdown(self) -> None:
        """Commit, and let go of the folder. Idempotent."""
        with self._lock:
            if self._open:
                self._open = False
                self._writer.close()
