"""Which of the two gRPC servers is taken."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from spanward.receiver.otlp import grpc_server
from spanward.receiver.otlp.config import GrpcConfig
from spanward.receiver.otlp.grpc_native import NativeGrpcServer
from spanward.receiver.otlp.grpc_python import PythonGrpcServer
from spanward.receiver.otlp.grpc_server import GrpcServer, make_grpc_server
from spanward.receiver.otlp.service import TraceService
from spanward.sidecar.component import Encoding, IngestResult
from spanward.store.errors import ConfigurationError


async def never(body: bytes, encoding: Encoding, tenant: str) -> IngestResult:
    raise AssertionError("nothing was sent")


def made(engine: str) -> GrpcServer:
    service = TraceService(never, "otlp", CollectorRegistry(), logging.getLogger("spanward.receiver/otlp"))
    config = GrpcConfig.model_validate({"endpoint": "127.0.0.1:0", "engine": engine})
    return make_grpc_server(config, service, max_bytes=1 << 20, tenant_header="x-tenant")


def test_native_is_taken_where_it_is_installed() -> None:
    """Installed: `auto` and `native` take it, `python` does not."""
    pytest.importorskip("spanward.native", reason="it is not built: `make kernel` builds it (needs Rust)")
    assert isinstance(made("auto"), NativeGrpcServer)
    assert isinstance(made("native"), NativeGrpcServer)
    assert isinstance(made("python"), PythonGrpcServer)


def absent(name: str) -> Any:
    raise ModuleNotFoundError(f"No module named {name!r}")


def older(name: str) -> Any:
    """A release that had no gRPC server yet."""
    return SimpleNamespace(Kernel=object)


@pytest.mark.parametrize("module", [absent, older])
def test_without_it_grpcio_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, module: Any
) -> None:
    """Not installed, or too old: `auto` says so with the remedy and takes grpcio; `native` refuses to start."""
    monkeypatch.setattr(grpc_server, "import_module", module)
    caplog.set_level(logging.INFO)
    assert isinstance(made("auto"), PythonGrpcServer)
    assert "served by grpcio, slower: spanward-native is not installed, or too old (pip install" in caplog.text
    with pytest.raises(ConfigurationError, match=r"protocols\.grpc\.engine is 'native', but spanward-native is not"):
        made("native")
    assert isinstance(made("python"), PythonGrpcServer)
