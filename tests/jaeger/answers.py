"""Jaeger's HTTP API: asking it, and reading its two forms of a trace."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import httpx
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId"})


class JaegerClient:
    """Asks one Jaeger.

    Args:
        base: the URL of its HTTP API.
        headers: sent with every request.
    """

    def __init__(self, base: str, headers: Mapping[str, str] | None = None) -> None:
        self._http = httpx.Client(base_url=base, timeout=60, headers=dict(headers or {}))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, path: str, **parameters: str | list[str]) -> httpx.Response:
        """Any answer, also a refusal; a list gives a parameter several times."""
        return self._http.get(path, params=parameters)

    def json(self, path: str, **parameters: str | list[str]) -> Any:
        """An answer that must be 200."""
        answer = self.ask(path, **parameters)
        assert answer.status_code == HTTPStatus.OK, f"{path} {parameters}: {answer.status_code} {answer.text[:500]}"
        return answer.json()

    def trace(self, trace_id: str) -> TracesData:
        """A whole trace as OTLP, unadjusted; its id in hex."""
        return as_otlp(self.json(f"/api/v3/traces/{trace_id}", raw_traces="true"))

    def found(self, **conditions: str) -> list[str]:
        """Ids of the traces of an OTLP search (`query.…` parameters without the prefix), in order; [] for none."""
        parameters = {f"query.{name}": value for name, value in conditions.items()}
        answer = self.ask("/api/v3/traces", **parameters, **{"query.raw_traces": "true"})
        if answer.status_code == HTTPStatus.NOT_FOUND:  # how this API says that nothing was found
            return []
        assert answer.status_code == HTTPStatus.OK, answer.text[:500]
        return trace_ids(as_otlp(answer.json()))

    def ui_trace(self, trace_id: str, *, raw: bool = True) -> dict[str, Any]:
        """A whole trace in the form that the UI reads."""
        (trace,) = self.json(f"/api/traces/{trace_id}", raw=str(raw).lower())["data"]
        assert isinstance(trace, dict)
        return trace

    def ui_found(self, **conditions: str) -> list[str]:
        """Ids of the traces of a search as the UI asks it, in order."""
        return [trace["traceID"] for trace in self.json("/api/traces", **conditions)["data"]]


def as_otlp(answer: Any) -> TracesData:
    """An answer of `/api/v3/traces` as an OTLP message."""
    return ParseDict(_with_base64_ids(answer["result"]), TracesData())


def trace_ids(data: TracesData) -> list[str]:
    """The ids of the traces of a message in the order of their first spans, in hex."""
    spans = (
        span
        for resource_spans in data.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    )
    return list(dict.fromkeys(span.trace_id.hex() for span in spans))


def _with_base64_ids(node: Any) -> Any:
    """OTLP writes ids as hex in JSON where protobuf's own mapping, which the parser knows, has base64."""
    if isinstance(node, list):
        return [_with_base64_ids(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {key: _base64(value) if key in _IDS else _with_base64_ids(value) for key, value in node.items()}


def _base64(identifier: str) -> str:
    return base64.b64encode(bytes.fromhex(identifier)).decode()
