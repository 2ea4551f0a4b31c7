"""OTLP over HTTP, of requests that are bytes already."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from typing import Final

import requests
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from spanward.sdk._answer import Refused, Taken, read_response
from spanward.sdk._endpoint import Endpoint

_PROTOBUF: Final = "application/x-protobuf"
_RETRYABLE: Final = frozenset({429, 502, 503, 504})
_FASTEST: Final = 1
"""Of gzip's levels: spans repeat themselves so much that the higher ones cost three times as much for a tenth."""


class HttpTransport:
    """See `spanward.sdk._answer.Transport`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # given with each request: of a session, REQUESTS_CA_BUNDLE would win over them
        self._verify = True if endpoint.certificate is None else str(endpoint.certificate)
        self._certificate = _client_certificate(endpoint)
        self._session: requests.Session | None = None

    def send(self, body: bytes, timeout: float) -> Taken | Refused:
        """See `Transport`."""
        if self._session is None:
            self._session = _open(self._endpoint)
        data = gzip.compress(body, _FASTEST) if self._endpoint.compression == "gzip" else body
        try:
            response = self._session.post(
                self._endpoint.address, data=data, timeout=timeout, verify=self._verify, cert=self._certificate
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            return Refused(f"{type(error).__name__}: {error}", retry=True)
        except requests.RequestException as error:  # such as a URL that is none
            return Refused(f"{type(error).__name__}: {error}")
        is_protobuf = response.headers.get("content-type", "").startswith(_PROTOBUF)
        content = response.content if is_protobuf else b""
        return read_response(content) if response.ok else _refused(response, content)

    def close(self) -> None:
        """See `Transport`; a request that is on its way ends by its timeout."""
        if self._session is not None:
            self._session.close()


def _open(endpoint: Endpoint) -> requests.Session:
    session = requests.Session()
    session.headers.update({"content-type": _PROTOBUF, "user-agent": f"spanward/{version('spanward')}"})
    if endpoint.compression == "gzip":
        session.headers["content-encoding"] = "gzip"
    session.headers.update(endpoint.headers)
    return session


def _client_certificate(endpoint: Endpoint) -> str | tuple[str, str] | None:
    if endpoint.client_certificate is None:
        return None
    certificate = str(endpoint.client_certificate)
    return certificate if endpoint.client_key is None else (certificate, str(endpoint.client_key))


def _refused(response: requests.Response, content: bytes) -> Refused:
    code = response.status_code
    reason = f"{code} {response.reason}: {_message(content)}".rstrip(": ")
    return Refused(reason, code in _RETRYABLE, _retry_after(response.headers.get("retry-after", "")))


def _message(content: bytes) -> str:
    try:
        return str(Status.FromString(content).message)
    except DecodeError:
        return ""


def _retry_after(text: str) -> float | None:
    """Seconds, of a number of them or a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (TypeError, ValueError):
        return None
    return max(wait.total_seconds(), 0.0)
