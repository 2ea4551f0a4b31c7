"""Health over HTTP.

    GET /, /health   200 or 503, in the form of the Collector's health check
    GET /live        200 while the process answers at all: restart it when this fails
    GET /ready       200 while requests can be taken, else 503: send traffic elsewhere
    GET /status      200, the condition of every component

503 stands for: recovery is not done, shutdown has begun, or a component is down.
"""

from __future__ import annotations

import datetime as dt
import logging
from http import HTTPStatus
from typing import Any

from aiohttp import web

from spanward.extension.health.config import HealthConfig
from spanward.sidecar.health import ComponentHealth, HealthRegistry
from spanward.sidecar.http_listener import HttpListener
from spanward.store.clock import Clock

_log = logging.getLogger("spanward.extension/health")


class HealthExtension:
    """Serves what the health registry knows."""

    def __init__(self, config: HealthConfig, health: HealthRegistry, clock: Clock) -> None:
        self._health = health
        self._clock = clock
        self._listener = HttpListener(config.endpoint, "endpoint")

    @property
    def port(self) -> int:
        """The bound port; 0 while it is not bound."""
        return self._listener.port

    async def start(self) -> None:
        """Bind.

        Raises:
            ConfigurationError: the endpoint is not host:port, or cannot be bound.
        """
        application = web.Application()
        for path, handler in (
            ("/", self._collector_form),
            ("/health", self._collector_form),
            ("/live", self._live),
            ("/ready", self._ready),
            ("/status", self._status),
        ):
            application.router.add_get(path, handler)
        await self._listener.start(application)
        _log.info("health on port %d", self.port)

    async def shutdown(self) -> None:
        """Unbind. Idempotent."""
        await self._listener.shutdown()

    async def _collector_form(self, _: web.Request) -> web.Response:
        ready = self._health.ready
        text = "Server available" if ready else "Server not available"
        return web.json_response({"status": text, **self._age()}, status=_http_status(ready))

    async def _live(self, _: web.Request) -> web.Response:
        return web.json_response({"live": True})

    async def _ready(self, _: web.Request) -> web.Response:
        ready = self._health.ready
        return web.json_response({"ready": ready}, status=_http_status(ready))

    async def _status(self, _: web.Request) -> web.Response:
        components = {name: _shown(health) for name, health in sorted(self._health.components().items())}
        return web.json_response(
            {
                "status": self._health.worst(),
                "ready": self._health.ready,
                **self._age(),
                "components": components,
            }
        )

    def _age(self) -> dict[str, str]:
        started = self._health.started_unix_nano
        return {"upSince": _rfc3339(started), "uptime": f"{(self._clock.now_ns() - started) / 1e9:.3f}s"}


def _http_status(ready: bool) -> HTTPStatus:
    return HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE


def _shown(health: ComponentHealth) -> dict[str, Any]:
    return {"status": health.condition, "reason": health.reason, "since": _rfc3339(health.since_unix_nano)}


def _rfc3339(unix_nano: int) -> str:
    moment = dt.datetime.fromtimestamp(unix_nano // 1_000_000_000, tz=dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{unix_nano % 1_000_000_000:09d}Z"
