"""A sidecar that holds known traffic, and a real Jaeger that reads from it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.jaeger.answers import JaegerClient
from tests.jaeger.oracle import SentSpan, spans_of
from tests.jaeger.process import RunningJaeger, start_jaeger
from tests.jaeger.traffic import Request, recorded, send, send_with_stock_sdk
from tests.support.running import RunningSidecar, default_config, start_sidecar


@dataclass(frozen=True, slots=True)
class Proof:
    """What the tests look at.

    Attributes:
        client: asks `jaeger`.
        sent: every request that the sidecar took.
        spans: the spans in them.
    """

    sidecar: RunningSidecar
    jaeger: RunningJaeger
    client: JaegerClient
    sent: list[Request]
    spans: list[SentSpan]


@contextmanager
def running_proof(binary: Path, folder: Path) -> Generator[Proof]:
    """Start both and send the traffic: the recording lies in the lake's files, what the SDK sent still in memory."""
    document = default_config()
    document["exporters"]["lake"] = {"commit_interval_seconds": 3600}
    sidecar = start_sidecar(document, folder / "data")
    try:
        sent = recorded()
        send(sent, sidecar.grpc)
        assert sidecar.sidecar.store is not None
        sidecar.sidecar.store.commit()
        sent += send_with_stock_sdk(sidecar.grpc)
        assert sidecar.sidecar.store.hot_rows() > 0
        jaeger = start_jaeger(binary, sidecar.jaeger, sidecar.grpc, folder)
        client = JaegerClient(jaeger.http)
        try:
            yield Proof(sidecar, jaeger, client, sent, list(spans_of(sent)))
        finally:
            client.close()
            jaeger.stop()
    finally:
        sidecar.stop()
