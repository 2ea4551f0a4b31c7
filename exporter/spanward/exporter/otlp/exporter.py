"""The exporter: follows the intake log and sends what it holds, each record until it is taken or refused for good.

`consume` only notes that there is more; the log itself is the queue, and its size the bound: what is not forwarded is
not trimmed, and a full log refuses new requests. After a crash the records since the last cursor are sent again: at
least once, never less.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from spanward.exporter.otlp.backoff import Backoff
from spanward.exporter.otlp.client import Client
from spanward.exporter.otlp.config import OtlpExporterConfig
from spanward.exporter.otlp.cursor import Cursor
from spanward.exporter.otlp.instruments import Instruments
from spanward.exporter.otlp.requests import Request, read_payloads, requests_of
from spanward.sidecar.component import Host
from spanward.store.batch import Batch
from spanward.store.errors import PermanentError, RetryableError, StoreError
from spanward.store.log import LogReader

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a developer sets.

    Attributes:
        client: opens the connection; called at start, on the event loop.
        log: the pipeline's log.
    """

    client: Callable[[], Client]
    log: LogReader


class OtlpExporter:
    """Forwards governed spans."""

    def __init__(
        self, config: OtlpExporterConfig, host: Host, settings: Settings, cursor: Cursor, instruments: Instruments
    ) -> None:
        self._config = config
        self._host = host
        self._settings = settings
        self._cursor = cursor
        self._instruments = instruments
        self._backoff = Backoff(config.retry)
        self._news = asyncio.Event()
        self._stopping = asyncio.Event()
        self._newest = 0
        self._client: Client | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the connection and begin to forward what the log still holds.

        Raises:
            ConfigurationError: a TLS file cannot be read.
            StoreError: the log or the cursor cannot be read or written.
        """
        self._newest = await asyncio.to_thread(lambda: self._settings.log.last_sequence)
        if self._cursor.sequence > self._newest:
            # numbers are never used again, so this log is not the one that was forwarded: a restored backup
            self._host.logger.warning("the cursor is past the end of the log; forwarding goes on from its end")
            self._cursor.set(self._newest)
        self._client = self._settings.client()
        self._news.set()
        self._task = asyncio.create_task(self._forward(self._client), name=f"forward {self._config.endpoint}")

    async def shutdown(self) -> None:
        """Let the request in flight finish within its time, then stop; the rest stays in the log. Idempotent."""
        self._stopping.set()
        self._news.set()
        if self._task is not None:
            done, _ = await asyncio.wait({self._task}, timeout=self._config.shutdown_timeout_seconds)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task})
            self._task = None
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def consume(self, batch: Batch) -> None:
        """Note that the log has more; takes nothing into memory."""
        self._newest = max(self._newest, batch.sequence)
        self._instruments.backlog(self._newest - self._cursor.sequence)
        self._news.set()

    def committed(self) -> int:
        """The last record that was forwarded, or refused for good; durable."""
        return self._cursor.sequence

    async def _forward(self, client: Client) -> None:
        while not self._stopping.is_set():
            await self._news.wait()
            self._news.clear()
            try:
                await self._catch_up(client)
            except StoreError as error:
                # the log or the cursor: nothing is skipped, the next batch tries again
                self._host.logger.error("forwarding stands still: %s", error)  # noqa: TRY400 - one line says it all
                self._host.report("down", str(error))
            except Exception:
                self._host.logger.exception("forwarding stands still: unforeseen error")
                self._host.report("down", "unforeseen error; the log has the details")

    async def _catch_up(self, client: Client) -> None:
        """Forward everything up to the present end of the log."""
        while not self._stopping.is_set():
            payloads = await asyncio.to_thread(read_payloads, self._settings.log, self._cursor.sequence)
            if not payloads:
                return
            for sequence, payload in payloads:
                if not await self._forward_record(client, sequence, payload):
                    return
                await asyncio.to_thread(self._cursor.advance, sequence)
                self._instruments.backlog(max(0, self._newest - sequence))

    async def _forward_record(self, client: Client, sequence: int, payload: bytes) -> bool:
        """Send one record's spans; False when shutdown came first, and the record must be sent again."""
        try:
            requests = await asyncio.to_thread(self._requests, payload)
        except StoreError:
            raise
        except Exception:
            self._host.logger.exception("record %d cannot be written as OTLP; it is not forwarded", sequence)
            self._instruments.skipped_records()
            return True
        for request in requests:
            if not await self._deliver(client, request):
                return False
        return True

    def _requests(self, payload: bytes) -> list[Request]:
        return requests_of(
            payload,
            max_bytes=self._config.max_request_kib << 10,
            governance=self._config.governance,
            by_tenant=bool(self._config.tenant_header),
        )

    async def _deliver(self, client: Client, request: Request) -> bool:
        """Send until taken or refused for good; False when shutdown came first."""
        while True:
            try:
                partial = await client.send(request.body, self._headers(request))
            except RetryableError as error:
                if await self._stops_within(self._wait(error)):
                    return False
            except PermanentError as error:
                self._refused(request.spans, str(error))
                return True
            except Exception:
                self._host.logger.exception("%d spans are not forwarded: unforeseen error", request.spans)
                self._instruments.failed(request.spans)
                return True
            else:
                self._taken(request, partial.rejected_spans, partial.error_message)
                return True

    def _wait(self, error: RetryableError) -> float:
        """Seconds until the next try; the first failure in a row is told in the log, all of them to health."""
        if self._backoff.fresh:
            self._host.logger.warning("cannot forward, and will go on trying: %s", error)
        wait = self._backoff.next(error.retry_after)
        self._instruments.retried()
        self._host.report("degraded", f"not forwarding, next try in {wait:.0f} s: {error}")
        return wait

    def _taken(self, request: Request, rejected: int, message: str) -> None:
        self._backoff.reset()
        self._host.report("ok", "")
        rejected = min(max(rejected, 0), request.spans)
        self._instruments.sent(request.spans - rejected)
        if rejected:
            self._refused(rejected, message)
        elif message:
            self._host.logger.warning("%s takes the spans, and says: %s", self._config.endpoint, message)

    def _refused(self, spans: int, why: str) -> None:
        self._host.logger.error("%d spans were refused for good and are not forwarded: %s", spans, why)
        self._instruments.failed(spans)

    def _headers(self, request: Request) -> dict[str, str]:
        if not self._config.tenant_header:
            return self._config.headers
        return {**self._config.headers, self._config.tenant_header: request.tenant}

    async def _stops_within(self, seconds: float) -> bool:
        """Wait; True as soon as shutdown has begun."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
