"""The demo's course: start, drive, replay, show, verify."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from spanward.sidecar.config import parse
from spanward.sidecar.console.views import fetch_json
from spanward.sidecar.demo import hotrod, show
from spanward.sidecar.demo.processes import Child, Children, DemoError, children, free_ports, spanward_command
from spanward.sidecar.demo.resources import find_resources
from spanward.sidecar.demo.state import Endpoints, Run
from spanward.store.errors import ConfigurationError, SpanwardError

_SETTLE_SECONDS: Final = 60.0


def run_demo(console: Console, *, keep: bool, data: Path | None, requests: int) -> Run:
    """Run the demo; what it verified is in the result.

    Raises:
        SpanwardError: a part could not run at all.
    """
    resources = find_resources()
    with ExitStack() as stack:
        work = Path(tempfile.mkdtemp(prefix="spanward-demo-"))
        if not keep:
            stack.callback(shutil.rmtree, work, ignore_errors=True)
        folder = _empty_folder(data) if data is not None else work / "data"
        run = Run(console, folder, work, Endpoints.choose(), resources)
        group = stack.enter_context(children(work))
        sidecar = _start_sidecar(group, run)
        _drive(group, run, requests)
        _verify(run)
        sidecar.keep = keep
        if not keep:
            code = sidecar.stop()
            run.check("the sidecar drains and exits cleanly", code == 0, f"exit code {code}")
        show.verdict(run, pid=sidecar.process.pid if keep else None)
        return run


def _start_sidecar(group: Children, run: Run) -> Child:
    config = run.work / "sidecar.yaml"
    text = yaml.safe_dump(run.endpoints.config(), sort_keys=False)
    parse(text, source=str(config))
    config.write_text(text)
    with run.console.status("starting the sidecar"):
        command = spanward_command("sidecar", "--config", str(config), "--data", str(run.data))
        sidecar = group.start("sidecar", command)
        sidecar.wait_until(lambda: (fetch_json(f"http://{run.endpoints.health}/ready") or (0, None))[0] == 200)  # noqa: PLR2004
    run.console.print(f"sidecar ready, process {sidecar.process.pid}, data in {run.data}", highlight=False)
    return sidecar


def _drive(group: Children, run: Run, requests: int) -> None:
    run.recorded = list(hotrod.read_requests(run.resources.hotrod))
    with _progress(run.console) as progress:
        shop = progress.add_task("HTTP requests to the example service", total=requests)
        recorded = progress.add_task("recorded HotROD requests over OTLP/gRPC", total=len(run.recorded))
        stored = progress.add_task("spans in the lake", total=None)
        service, url = _start_service(group, run)
        _drive_service(run, url, requests, lambda done: progress.update(shop, completed=done))
        service.stop()  # flushes the batch that the stock SDK still holds
        run.rejected = hotrod.replay(run.recorded, run.endpoints.grpc, advance=lambda: progress.advance(recorded))
        _settle(run, lambda done, total: progress.update(stored, completed=done, total=total))


def _start_service(group: Children, run: Run) -> tuple[Child, str]:
    """The example under stock auto-instrumentation: it sends raw spans, and the sidecar governs them."""
    port = free_ports((0,))[0]
    url = f"http://127.0.0.1:{port}"
    environment = {
        "OTEL_SERVICE_NAME": "checkout",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{run.endpoints.grpc}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "http,database",
        "OTEL_PYTHON_EXCLUDED_URLS": "health",
        "CHECKOUT_DB": str(run.work / "orders.sqlite"),
    }
    instrument = str(Path(sys.executable).parent / "opentelemetry-instrument")
    command = [instrument, sys.executable, str(run.resources.checkout / "app.py"), "--port", str(port)]
    service = group.start("checkout", command, environment=environment)
    service.wait_until(lambda: fetch_json(f"{url}/health") is not None)
    return service, url


def _drive_service(run: Run, url: str, requests: int, advance: Callable[[int], None]) -> None:
    spec = importlib.util.spec_from_file_location("spanward_demo_drive", run.resources.checkout / "drive.py")
    assert spec is not None
    assert spec.loader is not None
    driver = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = driver  # dataclasses look their module up
    spec.loader.exec_module(driver)
    report = asyncio.run(driver.drive(url, requests, progress=advance))
    run.personal = report.values()
    ok, declined = report.statuses[200], report.statuses[402]
    run.check(
        "the example service answered every request",
        ok > 0 and declined > 0 and ok + declined == requests,
        f"{ok} orders, {declined} cards declined on purpose",
    )


def _settle(run: Run, advance: Callable[[int, int], None]) -> None:
    """Wait until everything the receiver accepted is in the lake."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        accepted = show.accepted_spans(run)
        in_lake, waiting = show.stored_spans(run)
        advance(in_lake, accepted)
        if accepted and in_lake == accepted and not waiting:
            return
        time.sleep(0.2)
    raise DemoError(f"not all spans reached the lake within {_SETTLE_SECONDS:.0f} s; see {run.work / 'sidecar.log'}")


def _verify(run: Run) -> None:
    for step in (
        show.counts,
        show.round_trip,
        show.personal_data,
        show.latencies,
        show.retention,
        show.waterfall,
        show.access,
    ):
        try:
            step(run)
        except SpanwardError as error:
            run.check(step.__name__.replace("_", " "), False, str(error))


def _empty_folder(path: Path) -> Path:
    folder = path.expanduser().resolve()
    if folder.exists() and any(folder.iterdir()):
        raise ConfigurationError(
            f"{folder}: the demo counts what it stores and wants an empty folder; name another with --data"
        )
    return folder


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
    )
