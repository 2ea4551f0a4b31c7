"""`google.rpc.Status`, which carries OTLP's errors over both transports."""

from __future__ import annotations

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from spanward.receiver.otlp.service import ExportError


def to_status(error: ExportError) -> Status:
    """The error as a Status; with RetryInfo when a retry makes sense, which OTLP clients read as permission to."""
    status = Status(code=error.code, message=error.message)
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        detail = Any()
        detail.Pack(RetryInfo(retry_delay=delay))
        status.details.append(detail)
    return status
