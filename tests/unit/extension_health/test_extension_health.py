"""What the health extension answers in each state of the sidecar."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import aiohttp
import pytest
from pydantic import ValidationError

from spanward.extension.health.config import HealthConfig
from spanward.extension.health.factory import create, factory
from spanward.extension.health.health import HealthExtension
from spanward.sidecar.component import Component, Host
from spanward.sidecar.health import HealthRegistry
from spanward.store.clock import ManualClock
from spanward.store.errors import ConfigurationError


@dataclass
class Running:
    """A started extension, its registry and its clock."""

    extension: HealthExtension
    health: HealthRegistry
    clock: ManualClock

    async def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON document of one request."""
        url = f"http://127.0.0.1:{self.extension.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.json(content_type=None) if response.status != 404 else None


def made(endpoint: str) -> Running:
    clock = ManualClock()
    health = HealthRegistry(clock)
    host = cast("Host", SimpleNamespace(health=health, clock=clock))
    return Running(create(HealthConfig(endpoint=endpoint), host), health, clock)


@pytest.fixture
async def running() -> AsyncIterator[Running]:
    one = made("127.0.0.1:0")
    await one.extension.start()
    yield one
    await one.extension.shutdown()
    await one.extension.shutdown()


@pytest.mark.parametrize("endpoint", ["13133", "localhost:", "127.0.0.1:99999"])
async def test_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    """Not host:port: an error that says so."""
    with pytest.raises(ConfigurationError, match=r"endpoint: .* is not host:port"):
        await made(endpoint).extension.start()


async def test_port_in_use_is_named() -> None:
    """Another program has the port: an error with endpoint and remedy; shutting down afterwards is harmless."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"127.0.0.1:{taken.getsockname()[1]}"
        one = made(endpoint)
        with pytest.raises(ConfigurationError, match=f"cannot listen on {endpoint}.*free the port"):
            await one.extension.start()
        await one.extension.shutdown()


def test_factory_makes_a_component_with_the_usual_port() -> None:
    """Without options it is where the Collector's health check is; unknown options are refused."""
    assert factory.config().model_dump() == {"endpoint": "127.0.0.1:13133"}
    assert isinstance(made("127.0.0.1:0").extension, Component)
    with pytest.raises(ValidationError):
        HealthConfig.model_validate({"path": "/"})


@pytest.mark.parametrize("path", ["/", "/health"])
async def test_before_recovery_is_done_it_is_not_available(running: Running, path: str) -> None:
    """Started but not ready: 503 in the Collector's form on the health paths and on /ready, while /live says yes."""
    status, document = await running.get(path)
    assert (status, document["status"]) == (503, "Server not available")
    assert await running.get("/ready") == (503, {"ready": False})
    assert await running.get("/live") == (200, {"live": True})


async def test_ready_sidecar_tells_its_age(running: Running) -> None:
    """Ready for 90 seconds: 200 everywhere, with start and age."""
    running.health.set_ready(True)
    running.clock.advance(seconds=90)
    document = {"status": "Server available", "upSince": "2026-01-01T00:00:00.000000000Z", "uptime": "90.000s"}
    assert await running.get("/") == (200, document)
    assert await running.get("/ready") == (200, {"ready": True})


async def test_component_that_is_down_makes_it_unready(running: Running) -> None:
    """One component degraded, another down: /status lists both with the reason, and traffic goes elsewhere."""
    running.health.set_ready(True)
    running.health.report("exporter/otlp", "degraded", "not forwarding")
    assert (await running.get("/ready"))[0] == 200
    running.health.report("exporter/lake", "down", "disk full")
    assert (await running.get("/ready"))[0] == 503
    status, document = await running.get("/status")
    since = "2026-01-01T00:00:00.000000000Z"
    assert (status, document["status"], document["ready"]) == (200, "down", False)
    assert document["components"] == {
        "exporter/lake": {"status": "down", "reason": "disk full", "since": since},
        "exporter/otlp": {"status": "degraded", "reason": "not forwarding", "since": since},
    }


async def test_unknown_path_is_404(running: Running) -> None:
    """Nothing else is served."""
    assert (await running.get("/metrics"))[0] == 404
