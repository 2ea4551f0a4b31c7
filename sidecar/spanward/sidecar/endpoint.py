"""Endpoints as users write them."""

from __future__ import annotations

from typing import Final

from spanward.store.errors import ConfigurationError

_LAST_PORT: Final = 0xFFFF


def split_endpoint(endpoint: str, option: str) -> tuple[str, int]:
    """Split `host:port`; the host of an IPv6 address stands in brackets.

    Raises:
        ConfigurationError: `endpoint` is not of that form; the message names `option`.
    """
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdecimal() or int(port) > _LAST_PORT:
        raise ConfigurationError(f"{option}: {endpoint!r} is not host:port, such as 127.0.0.1:4317")
    return host.strip("[]"), int(port)
