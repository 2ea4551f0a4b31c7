"""A real Jaeger as a child process, configured as the example tells users to."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "examples" / "jaeger" / "config.yaml"
_SCRIPT: Final = ROOT / "tools" / "jaeger.sh"
_START_SECONDS: Final = 60
_ATTEMPTS: Final = 3  # a port that was free when it was chosen may be taken when Jaeger binds it


def find_binary(environment: Mapping[str, str]) -> tuple[Path | None, str]:
    """The Jaeger to run, building it when `SPANWARD_JAEGER_BUILD=1` asks for that; else None and how to get one.

    Raises:
        RuntimeError: it was to be built, or was named, and that did not work.
    """
    build = environment.get("SPANWARD_JAEGER_BUILD") == "1"
    arguments = [str(_SCRIPT)] if build else [str(_SCRIPT), "--find"]
    done = subprocess.run(arguments, env=dict(environment), capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return Path(done.stdout.strip()), ""
    if build or done.stderr:
        raise RuntimeError(done.stderr.strip() or f"{_SCRIPT.name} failed with {done.returncode}")
    return None, "no Jaeger binary: `make jaeger-test` builds one (needs Go), SPANWARD_JAEGER names one"


def configuration(storage: str, otlp: str, ports: Mapping[str, int]) -> dict[str, Any]:
    """The example's configuration with other addresses, and nothing else changed.

    Args:
        storage: host:port of the sidecar's storage API.
        otlp: host:port of its OTLP/gRPC receiver.
        ports: for `query_http`, `query_grpc`, `otlp_grpc` and `otlp_http`.
    """
    document: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    extensions = document["extensions"]
    extensions["jaeger_storage"]["backends"]["spanward"]["grpc"]["endpoint"] = storage
    for part in ("http", "grpc"):
        extensions["jaeger_query"][part]["endpoint"] = f"127.0.0.1:{ports[f'query_{part}']}"
        document["receivers"]["otlp"]["protocols"][part]["endpoint"] = f"127.0.0.1:{ports[f'otlp_{part}']}"
    document["exporters"]["otlp"]["endpoint"] = otlp
    return document


def free_ports(*names: str) -> dict[str, int]:
    """A free port for each name, all different; taken together, so that none is given twice."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    try:
        return {name: one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}
    finally:
        for one in sockets:
            one.close()


@dataclass(frozen=True, slots=True)
class RunningJaeger:
    """Jaeger, answering.

    Attributes:
        http: base URL of its HTTP API.
        otlp: host:port of its own OTLP/gRPC receiver.
        log: where it writes what it has to say.
    """

    process: subprocess.Popen[bytes]
    http: str
    otlp: str
    log: Path

    def stop(self) -> None:
        """End it and wait until it is gone."""
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)


def start_jaeger(binary: Path, storage: str, otlp: str, folder: Path, *, tenants: bool = False) -> RunningJaeger:
    """Start Jaeger over a sidecar and wait until its HTTP API listens.

    Raises:
        RuntimeError: it ended, or never listened; the message is the end of its log.
    """
    said = ""
    for attempt in range(_ATTEMPTS):
        running = _launch(binary, storage, otlp, folder / f"jaeger-{attempt}", tenants=tenants)
        if _listens(running):
            return running
        running.stop()
        said = running.log.read_text()[-3000:]
        if "address already in use" not in said:
            break
    raise RuntimeError(f"Jaeger did not start: {said}")


def _launch(binary: Path, storage: str, otlp: str, folder: Path, *, tenants: bool) -> RunningJaeger:
    folder.mkdir(parents=True)
    ports = free_ports("query_http", "query_grpc", "otlp_grpc", "otlp_http")
    document = configuration(storage, otlp, ports)
    if tenants:
        add_tenancy(document)
    config, log = folder / "config.yaml", folder / "log"
    config.write_text(yaml.safe_dump(document))
    # as the example's README says: else Jaeger traces itself, to whoever listens on port 4317
    environment = {**os.environ, "OTEL_TRACES_SAMPLER": "always_off"}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, "--config", config], env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    return RunningJaeger(process, f"http://127.0.0.1:{ports['query_http']}", f"127.0.0.1:{ports['otlp_grpc']}", log)


def add_tenancy(document: dict[str, Any]) -> None:
    """What the example's README says about several tenants: one block in two places."""
    (block,) = re.findall(r"multi_tenancy: (\{.*\})", EXAMPLE.with_name("README.md").read_text())
    tenancy = {key.capitalize(): value for key, value in yaml.safe_load(block).items()}  # as the pinned Jaeger wants
    document["extensions"]["jaeger_query"]["multi_tenancy"] = tenancy
    document["extensions"]["jaeger_storage"]["backends"]["spanward"]["grpc"]["multi_tenancy"] = tenancy


def _listens(jaeger: RunningJaeger) -> bool:
    """Whether any answer comes, also a refusal, before Jaeger ends or the time is up."""
    deadline = time.monotonic() + _START_SECONDS
    while jaeger.process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"{jaeger.http}/api/v3/services", timeout=10)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return True
    return False
