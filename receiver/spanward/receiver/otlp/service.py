"""What the gRPC and the HTTP server have in common: one Export call, and what its answer means."""

from __future__ import annotations

import logging
import re
from typing import Final

from google.rpc import code_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)
from prometheus_client import CollectorRegistry

from spanward.sidecar.component import Encoding, Ingest, IngestResult
from spanward.sidecar.instruments import counter
from spanward.store.errors import OverloadedError, PermanentError, RetryableError, StoreError

DEFAULT_TENANT: Final = "default"

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEFAULT_RETRY_SECONDS: Final = 1.0


class ExportError(Exception):
    """A request that was not taken, in terms of `google.rpc`.

    Attributes:
        code: a `google.rpc.Code` number.
        message: one line for the client.
        retry_after: seconds after which the same request may be taken, None when it never will be.
    """

    def __init__(self, code: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


class TraceService:
    """OTLP's TraceService over whatever transport, in front of a pipeline.

    Attributes:
        logger: where both transports say what went wrong.
    """

    def __init__(self, ingest: Ingest, receiver: str, metrics: CollectorRegistry, logger: logging.Logger) -> None:
        self._ingest = ingest
        self._receiver = receiver
        self.logger = logger
        labels = ("receiver", "transport")
        self._accepted = counter(
            metrics, "otelcol_receiver_accepted_spans", "Spans that were taken into the pipeline.", labels
        )
        self._refused = counter(
            metrics, "otelcol_receiver_refused_spans", "Spans that were refused one by one.", labels
        )
        self._failed = counter(
            metrics,
            "spanward_receiver_refused_requests",
            "Requests that were refused whole, by google.rpc code.",
            (*labels, "code"),
        )

    async def export(
        self, body: bytes, encoding: Encoding, tenant: str | None, transport: str
    ) -> ExportTraceServiceResponse:
        """Hand one request to the pipeline; returning means that its spans are durable.

        Args:
            body: the decompressed request.
            encoding: how it is written.
            tenant: the value of the tenant header, None when there was none.
            transport: `grpc` or `http`, for the metrics.

        Raises:
            ExportError: it was not taken.
        """
        try:
            result = await self._taken(body, encoding, tenant)
        except ExportError as error:
            self.count_refusal(transport, error)
            raise
        self._accepted.labels(self._receiver, transport).inc(result.accepted)
        self._refused.labels(self._receiver, transport).inc(result.rejected)
        return _response(result)

    def count_refusal(self, transport: str, error: ExportError) -> None:
        """Count a request that was refused whole."""
        self._failed.labels(self._receiver, transport, code_pb2.Code.Name(error.code)).inc()

    async def _taken(self, body: bytes, encoding: Encoding, tenant: str | None) -> IngestResult:
        try:
            return await self._ingest(body, encoding, _tenant(tenant))
        except ExportError:
            raise
        except OverloadedError as error:
            raise ExportError(code_pb2.RESOURCE_EXHAUSTED, str(error), _retry_after(error)) from error
        except RetryableError as error:
            raise ExportError(code_pb2.UNAVAILABLE, str(error), _retry_after(error)) from error
        except PermanentError as error:
            raise ExportError(code_pb2.INVALID_ARGUMENT, str(error)) from error
        except StoreError as error:
            self.logger.error("a request was not stored: %s", error)  # noqa: TRY400 - its line names thing and remedy
            text = "the data folder is not available; the sidecar's log says why"
            raise ExportError(code_pb2.UNAVAILABLE, text, _DEFAULT_RETRY_SECONDS) from error
        except Exception as error:
            self.logger.exception("a request failed in an unforeseen way")
            raise ExportError(code_pb2.INTERNAL, "internal error; the sidecar's log has the details") from error


def _tenant(header: str | None) -> str:
    if not header:
        return DEFAULT_TENANT
    if not _TENANT.fullmatch(header):
        raise ExportError(
            code_pb2.INVALID_ARGUMENT,
            "the tenant is not 1 to 64 letters, digits, '.', '_' or '-' after a letter or digit",
        )
    return header


def _retry_after(error: RetryableError) -> float:
    return _DEFAULT_RETRY_SECONDS if error.retry_after is None else error.retry_after


def _response(result: IngestResult) -> ExportTraceServiceResponse:
    """The answer; `partial_success` stays unset when every span was taken."""
    if not result.rejected and not result.message:
        return ExportTraceServiceResponse()
    partial = ExportTracePartialSuccess(rejected_spans=result.rejected, error_message=result.message)
    return ExportTraceServiceResponse(partial_success=partial)
