"""A running extension over spans in memory, and a stock gRPC client."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from spanward.extension.jaeger.config import JaegerConfig
from spanward.extension.jaeger.jaeger import JaegerExtension
from spanward.extension.jaeger.storage_pb2_grpc import DependencyReaderStub, TraceReaderStub
from spanward.store.span_store import SpanStore


class Client:
    """Both of Jaeger's services through one channel."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        sync_channel = cast("grpc.Channel", channel)  # the generated stubs take either
        self.traces: Any = TraceReaderStub(sync_channel)
        self.dependencies: Any = DependencyReaderStub(sync_channel)


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Start an extension over a store, with options, and connect to it; all ends with the test."""
    async with AsyncExitStack() as stack:

        async def start(store: Any, **options: Any) -> Client:
            return await stack.enter_async_context(_running(cast("SpanStore", store), options))

        yield start


@asynccontextmanager
async def _running(store: SpanStore, options: dict[str, Any]) -> AsyncGenerator[Client, None]:
    config = JaegerConfig(endpoint="127.0.0.1:0", **options)
    extension = JaegerExtension(config, store, logging.getLogger("spanward.extension/jaeger"))
    await extension.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{extension.port}") as channel:
            yield Client(channel)
    finally:
        await extension.shutdown()
