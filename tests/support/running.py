"""A real sidecar for tests: every component, free ports, an empty data folder."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from spanward.sidecar.config import DEFAULT_YAML, parse
from spanward.sidecar.service import Sidecar
from spanward.store.clock import Clock


def default_config(**exporters: Any) -> dict[str, Any]:
    """The built-in default on free ports, with a quick commit; extra exporters by keyword."""
    document: dict[str, Any] = yaml.safe_load(DEFAULT_YAML)
    free = "127.0.0.1:0"
    document["receivers"]["otlp"]["protocols"] = {"grpc": {"endpoint": free}, "http": {"endpoint": free}}
    document["extensions"] = {"health": {"endpoint": free}, "jaeger": {"endpoint": free}}
    document["exporters"]["lake"] = {"commit_interval_seconds": 0.2}
    document["service"]["telemetry"]["metrics"]["endpoint"] = free
    for name, options in exporters.items():
        document["exporters"][name] = options
        document["service"]["pipelines"]["traces"]["exporters"].append(name)
    return document


@dataclass
class RunningSidecar:
    """A sidecar in a thread of this process, so that tests see its coverage."""

    sidecar: Sidecar
    data: Path
    stop: Callable[[], None]

    @property
    def grpc(self) -> str:
        """host:port of OTLP/gRPC."""
        return f"127.0.0.1:{self._component('receiver/otlp').grpc_port}"

    @property
    def http(self) -> str:
        """Base URL of OTLP/HTTP."""
        return f"http://127.0.0.1:{self._component('receiver/otlp').http_port}"

    @property
    def jaeger(self) -> str:
        """host:port of Jaeger's storage API."""
        return f"127.0.0.1:{self._component('extension/jaeger').port}"

    @property
    def health(self) -> str:
        """Base URL of the health extension."""
        return f"http://127.0.0.1:{self._component('extension/health').port}"

    @property
    def metrics(self) -> str:
        """URL of the Prometheus endpoint."""
        assert self.sidecar.metrics_port
        return f"http://127.0.0.1:{self.sidecar.metrics_port}/metrics"

    def _component(self, name: str) -> Any:
        assert self.sidecar.graph is not None
        return self.sidecar.graph.components[name]


def start_sidecar(document: dict[str, Any], data: Path, *, clock: Clock | None = None) -> RunningSidecar:
    """Start a sidecar in a thread; raises what its start raises."""
    config = parse(yaml.safe_dump(document), source="test")
    sidecar = Sidecar(config, data, clock=clock)
    started: Future[asyncio.AbstractEventLoop] = Future()
    ending = threading.Event()

    async def life() -> None:
        try:
            await sidecar.start()
        except BaseException as error:  # noqa: BLE001 - handed to the test
            started.set_exception(error)
            return
        started.set_result(asyncio.get_running_loop())
        while not ending.is_set():  # noqa: ASYNC110 - set from another thread
            await asyncio.sleep(0.02)
        await sidecar.shutdown()

    thread = threading.Thread(target=lambda: asyncio.run(life()), name="sidecar", daemon=True)
    thread.start()

    def stop() -> None:
        ending.set()
        thread.join(60)
        assert not thread.is_alive()

    try:
        started.result(60)
    except BaseException:
        thread.join(60)
        raise
    return RunningSidecar(sidecar, data, stop)


def eventually(condition: Callable[[], bool], *, seconds: float = 30.0) -> None:
    """Wait until `condition` holds; fail when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
