"""CPU that tracing costs an application, per span: created, governed, encoded, sent.

    python bench/app.py [--runs 5] [--spans 20000] [--protocol grpc] [--compression none] [--json]

It compares, in turns: OpenTelemetry's own SDK and OTLP exporter without any policy; ours with the full policy in the
compiled kernel, where it is built; ours with the policy in Python. Each run is a program of its own that makes spans of
ten attributes and sends them to a sink in another process. The figure is the program's user and system time, of all of
its threads, until everything is flushed, by the number of spans; the start is not in it. A run counts only if the sink
took every span, and, where a policy was to be applied, no address that it should have taken out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside it; the package `bench` is one up

from bench.machine import describe  # noqa: E402 - the line above makes it importable

RESULTS: Final = ROOT / "bench" / "results" / "app.json"
CREATION: Final = "creation alone"
STOCK: Final = "stock, no policy"
KERNEL: Final = "spanward, kernel"
PYTHON: Final = "spanward, Python"
VARIANTS: Final = [CREATION, STOCK, *([KERNEL] if find_spec("spanward.native") else []), PYTHON]
_ENGINES: Final = {KERNEL: "kernel", PYTHON: "python"}
_ADDRESS: Final = "alice@example.com"
_WARM_UP: Final = 2000


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for all variants of one comparison."""

    spans: int
    protocol: str
    compression: str


# --- the application --------------------------------------------------------------------------------------------------


def attributes(number: int) -> dict[str, Any]:
    """Ten attributes as a web service has them; every fourth span holds an address that the policy takes out."""
    return {
        "http.request.method": "GET",
        "http.route": "/api/v1/orders/{id}",
        "url.path": f"/api/v1/orders/{number}",
        "http.response.status_code": 200,
        "server.address": "orders.internal",
        "server.port": 8080,
        "app.cart.value": number * 0.25,
        "app.cached": number % 2 == 0,
        "app.note": f"confirmation sent to {_ADDRESS}" if number % 4 == 0 else "confirmation is not yet due",
        "db.query.text": "SELECT id, state, total FROM orders WHERE customer = ? AND state <> 'closed'",
    }


def application(variant: str, endpoint: str, setting: Setting) -> float:
    """Microseconds of CPU per span of one variant, in this process."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the other half of this program needs it not

    provider = TracerProvider()
    if variant != CREATION:
        provider.add_span_processor(_processor(variant, endpoint, setting))
    tracer = provider.get_tracer("bench")

    def work(spans: int) -> None:
        for number in range(spans):
            with tracer.start_as_current_span("GET /api/v1/orders/{id}", attributes=attributes(number)):
                pass
            if number % 2048 == 2047:
                provider.force_flush()  # an application has breaks; one that never does would lose spans
        provider.force_flush()

    work(_WARM_UP)
    before = time.process_time()
    work(setting.spans)
    took = time.process_time() - before
    provider.shutdown()
    return took / setting.spans * 1e6


def _processor(variant: str, endpoint: str, setting: Setting) -> Any:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - as above

    queue = 4096  # more than between two flushes: nothing is lost
    if variant == STOCK:
        return BatchSpanProcessor(_stock(endpoint, setting), max_queue_size=queue)
    from spanward.processor.policy.config import Policy  # noqa: PLC0415 - as above
    from spanward.processor.policy.keys import HashKey  # noqa: PLC0415 - as above
    from spanward.sdk._exporters import governed_exporter  # noqa: PLC0415 - as above
    from spanward.sdk._otlp import OtlpBatchProcessor, OtlpSpanExporter  # noqa: PLC0415 - as above
    from spanward.sdk._processor import SpanwardSpanProcessor  # noqa: PLC0415 - as above
    from spanward.sdk._settings import make_destination  # noqa: PLC0415 - as above

    os.environ["SPANWARD_ENGINE"] = _ENGINES[variant]
    destination = make_destination(endpoint, protocol=setting.protocol, compression=setting.compression)
    exporter = governed_exporter(destination, Policy.default(), [HashKey("bench", b"0123456789abcdef" * 2)])
    assert isinstance(exporter, OtlpSpanExporter)
    return SpanwardSpanProcessor(OtlpBatchProcessor(exporter, queue))


def _stock(endpoint: str, setting: Setting) -> Any:
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    if setting.compression == "gzip":
        os.environ["OTEL_EXPORTER_OTLP_COMPRESSION"] = "gzip"
    if setting.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc_exporter  # noqa: PLC0415 - one of two

        return grpc_exporter.OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.http import trace_exporter as http_exporter  # noqa: PLC0415 - one of two

    return http_exporter.OTLPSpanExporter()


# --- the sink ---------------------------------------------------------------------------------------------------------


@contextmanager
def sink(protocol: str) -> Generator[tuple[str, subprocess.Popen[str]]]:
    """A process that takes requests; its endpoint. It counts them when it is told to stop."""
    command = [sys.executable, str(ROOT / "bench" / "app_sink.py"), protocol]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def _taken(process: subprocess.Popen[str]) -> tuple[int, int]:
    """Spans that the sink took, and how many of them held the address."""
    said, _ = process.communicate(_ADDRESS, timeout=120)
    spans, leaks = said.split()
    return int(spans), int(leaks)


# --- the comparison ---------------------------------------------------------------------------------------------------


def measure(variant: str, setting: Setting) -> float:
    """One run of one variant: microseconds of CPU per span."""
    with sink(setting.protocol) as (endpoint, process):
        command = [sys.executable, __file__, "--application", variant, "--endpoint", endpoint, *_arguments(setting)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        spans, leaks = _taken(process)
    expected = 0 if variant == CREATION else setting.spans + _WARM_UP
    if spans != expected:
        raise SystemExit(f"{variant}: the sink took {spans} of {expected} spans\n{done.stderr}")
    if variant in _ENGINES and leaks:
        raise SystemExit(f"{variant}: the address left the process in {leaks} spans")
    return float(done.stdout)


def _arguments(setting: Setting) -> list[str]:
    return [word for key, value in asdict(setting).items() for word in (f"--{key}", str(value))]


def compare(setting: Setting, runs: int) -> dict[str, dict[str, Any]]:
    """All variants in turns; median, least and most of each, and its median share of stock, pair by pair."""
    rounds = [{variant: measure(variant, setting) for variant in VARIANTS} for _ in range(runs)]
    figures: dict[str, dict[str, Any]] = {}
    for variant in VARIANTS:
        took = [round_[variant] for round_ in rounds]
        figures[variant] = {
            "us_per_span": round(statistics.median(took), 1),
            "least": round(min(took), 1),
            "most": round(max(took), 1),
            "of_stock": round(statistics.median(round_[variant] / round_[STOCK] for round_ in rounds), 2),
        }
    return figures


def show(figures: dict[str, dict[str, Any]]) -> None:
    print(f"{'':<18}{'us/span':>9}{'least':>8}{'most':>8}{'of stock':>10}")
    for variant, row in figures.items():
        print(f"{variant:<18}{row['us_per_span']:>9}{row['least']:>8}{row['most']:>8}{row['of_stock']:>10}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--spans", type=int, default=20_000)
    parser.add_argument("--protocol", choices=["grpc", "http/protobuf"], default="grpc")
    parser.add_argument("--compression", choices=["none", "gzip"], default="none")
    parser.add_argument("--json", action="store_true", help=f"keep the figures in {RESULTS.relative_to(ROOT)}")
    parser.add_argument("--application", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--endpoint", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    setting = Setting(arguments.spans, arguments.protocol, arguments.compression)
    if arguments.application:
        print(application(arguments.application, arguments.endpoint, setting))
        return
    figures = compare(setting, arguments.runs)
    show(figures)
    if arguments.json:
        report = {**describe(), **asdict(setting), "runs": arguments.runs, "figures": figures}
        RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
