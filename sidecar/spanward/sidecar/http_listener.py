"""One HTTP listener on the sidecar's event loop: bound with a clear error, unbound in peace."""

from __future__ import annotations

import os
from typing import Any

from aiohttp import web

from spanward.sidecar.endpoint import split_endpoint
from spanward.store.errors import ConfigurationError


class HttpListener:
    """Serves an aiohttp application on an endpoint.

    Attributes:
        port: the bound port; 0 while it is not bound.
    """

    def __init__(self, endpoint: str, option: str, **options: Any) -> None:
        """Args: `option` names the endpoint in errors; `options` are those of `aiohttp.web.AppRunner`."""
        self._endpoint = endpoint
        self._option = option
        self._options = options
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, application: web.Application) -> None:
        """Bind.

        Raises:
            ConfigurationError: the endpoint is not host:port, or cannot be bound.
        """
        host, port = split_endpoint(self._endpoint, self._option)
        self._runner = web.AppRunner(application, access_log=None, **self._options)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.shutdown()
            # asyncio's own text repeats the address at length
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise ConfigurationError(
                f"{self._option}: cannot listen on {self._endpoint}: {reason}; free the port or set another endpoint",
            ) from error
        self.port = int(self._runner.addresses[0][1])

    async def shutdown(self) -> None:
        """Refuse new requests, let those in flight finish, unbind. Idempotent."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
