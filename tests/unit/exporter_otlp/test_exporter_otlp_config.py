"""What can be configured, and what is refused."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from spanward.exporter.otlp.backoff import Backoff
from spanward.exporter.otlp.config import OtlpExporterConfig, RetryConfig
from spanward.exporter.otlp.exporter import OtlpExporter
from spanward.exporter.otlp.factory import create, factory
from spanward.exporter.otlp.grpc_client import GrpcClient
from spanward.exporter.otlp.http_client import HttpClient
from spanward.sidecar.component import Consumer, Host
from spanward.store.clock import ManualClock
from spanward.store.errors import ConfigurationError


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"endpoint": ""},
        {"endpoint": "host:port"},
        {"endpoint": "host:4317", "protocol": "http/protobuf"},
        {"endpoint": "ftp://host:4317"},
        {"endpoint": "http://", "protocol": "http/protobuf"},
        {"endpoint": "host:4317", "protocol": "http/json"},
        {"endpoint": "host:4317", "headers": {"bad name": "v"}},
        {"endpoint": "host:4317", "headers": {"name": "a\nb"}},
        {"endpoint": "host:4317", "compression": "zstd"},
        {"endpoint": "host:4317", "tls": {"cert_file": "c.pem"}},
        {"endpoint": "host:4317", "timeout": 3},
        {"endpoint": "host:4317", "timeout_seconds": 0},
    ],
)
def test_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    """Missing or malformed endpoints, unknown words and keys, half a key pair: refused when read."""
    with pytest.raises(ValidationError):
        OtlpExporterConfig.model_validate(wrong)


def host(tmp_path: Path, *, log: bool) -> Host:
    reader = SimpleNamespace(folder=tmp_path / "traces", last_sequence=0, records=lambda _: iter(()))
    return cast(
        "Host",
        SimpleNamespace(
            identifier="otlp",
            data=tmp_path,
            log=reader if log else None,
            metrics=CollectorRegistry(),
            logger=logging.getLogger("spanward.exporter/otlp"),
            clock=ManualClock(),
            report=lambda *_: None,
        ),
    )


def test_exporter_without_a_log_is_refused(tmp_path: Path) -> None:
    """Placed where there is no pipeline: an error that says where it belongs."""
    with pytest.raises(ConfigurationError, match="list it under a pipeline's exporters"):
        create(OtlpExporterConfig(endpoint="host:4317"), host(tmp_path, log=False))


@pytest.mark.parametrize("option", ["ca_file", "cert_file"])
@pytest.mark.parametrize("endpoint", ["host:4317", "https://host:4318"])
async def test_tls_file_that_is_not_there_is_named(tmp_path: Path, option: str, endpoint: str) -> None:
    """A PEM file that cannot be read: an error at start that names the option, and shutdown is harmless."""
    protocol = "http/protobuf" if "://" in endpoint else "grpc"
    tls = {option: "/nowhere.pem"} | ({"key_file": "/nowhere.key"} if option == "cert_file" else {})
    config = OtlpExporterConfig.model_validate({"endpoint": endpoint, "protocol": protocol, "tls": tls})
    exporter = create(config, host(tmp_path, log=True))
    with pytest.raises(ConfigurationError, match=r"tls.*PEM file"):
        await exporter.start()
    await exporter.shutdown()


@pytest.mark.parametrize("tls", [{}, {"insecure": True}])
async def test_grpc_channel_with_and_without_tls(tls: dict[str, Any]) -> None:
    """Both kinds of channel can be made and closed, twice."""
    for endpoint in ("host:4317", "http://host:4317", "https://host:4317"):
        client = GrpcClient(OtlpExporterConfig.model_validate({"endpoint": endpoint, "tls": tls}))
        await client.close()
        await client.close()


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://host:4318", "http://host:4318/v1/traces"),
        ("http://host:4318/", "http://host:4318/v1/traces"),
        ("https://host/otlp", "https://host/otlp/v1/traces"),
        ("https://host/otlp/v1/traces", "https://host/otlp/v1/traces"),
    ],
)
async def test_http_path_is_added_once(endpoint: str, url: str) -> None:
    """A base URL gets the signal's path, a full one stays."""
    config = OtlpExporterConfig.model_validate({"endpoint": endpoint, "protocol": "http/protobuf"})
    client = HttpClient(config, ManualClock())
    assert client._url == url
    await client.close()


def test_factory_makes_a_consumer(tmp_path: Path) -> None:
    """The exporter is what a pipeline feeds, and a fresh one needs the whole log."""
    assert factory.config is OtlpExporterConfig
    exporter = create(OtlpExporterConfig(endpoint="host:4317"), host(tmp_path, log=True))
    assert isinstance(exporter, OtlpExporter)
    assert isinstance(exporter, Consumer)
    assert exporter.committed() == 0


def test_waits_double_up_to_a_bound_and_start_over() -> None:
    """Ten failures in a row, then a success: between a half and the whole of 1, 2, 4, ... up to the longest."""
    backoff = Backoff(RetryConfig(initial_seconds=1, max_seconds=30, max_asked_seconds=60))
    assert backoff.fresh
    for failures in range(100):
        full = min(30.0, 2.0**failures)
        assert full / 2 <= backoff.next(None) <= full
    assert not backoff.fresh
    assert (backoff.next(7), backoff.next(10_000)) == (7, 60)
    backoff.reset()
    assert backoff.next(None) <= 1


@pytest.mark.parametrize("asked", [0.0, 1e-9, 0.9])
def test_a_server_cannot_ask_for_a_storm(asked: float) -> None:
    """Retry-After of nothing, or a date in the past: the exporter's own waits, which grow."""
    backoff = Backoff(RetryConfig(initial_seconds=1, max_seconds=30, max_asked_seconds=60))
    waits = [backoff.next(asked) for _ in range(6)]
    assert waits[0] >= 0.5
    assert waits[5] >= 15
