"""HTTP's own refusals, and the HTTP status of those that come from the pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from google.rpc import code_pb2

from spanward.receiver.otlp.service import ExportError

_STATUS: Final[Mapping[int, HTTPStatus]] = {
    code_pb2.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    code_pb2.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    code_pb2.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
}


class HttpError(ExportError):
    """A request that was refused before it reached the pipeline.

    Attributes:
        status: the HTTP status.
        headers: what goes with it.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: int,
        message: str,
        headers: dict[str, str] | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(code, message, retry_after)
        self.status = status
        self.headers = headers or {}


def http_status(error: ExportError) -> HTTPStatus:
    """The status that tells a client what its code does: 429 and 503 are retried, 400 and 500 are not."""
    return _STATUS.get(error.code, HTTPStatus.INTERNAL_SERVER_ERROR)
