"""Damaged requests against the compiled kernel, for a bounded time.

    python -m tests.fuzz.kernel [--seconds 60] [--seed 1] [--compare-every 200] [--json]

Requests of recorded traffic and of the workload, in protobuf and in OTLP/JSON, get bytes changed, cut out, put
in and repeated. The kernel
must take each or leave it to Python, and of one in so many it takes, Python must make the same rows. Exit code 1, with
the seed and the request in hex, when it does not; a crash ends the process, which says enough.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from bench.workload import generate
from spanward.processor.governance.decode_json import decode_json
from spanward.processor.governance.decode_protobuf import decode_protobuf
from spanward.processor.governance.kernel import Kernel, load_kernel
from spanward.processor.governance.limits import Limits
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.native import Engine
from spanward.sidecar.component import Encoding
from spanward.sidecar.demo.hotrod import read_requests
from spanward.store.errors import InvalidRequestError
from spanward.store.rows import build_rows
from tests.support.otlp_requests import otlp_json

_HOTROD: Final = Path(__file__).parents[1] / "data" / "hotrod.otlp"
_KEY: Final = HashKey("k1", b"0123456789abcdef0123456789abcdef")
_POLICY: Final = Policy.model_validate({"quality": {"anomaly": {"enabled": False}}})
"""Without baselines: which requests the two sides have seen would make a difference there."""

_LONGEST: Final = 3000


@dataclass(slots=True)
class Report:
    """What was done.

    Attributes:
        executions: damaged requests given to the kernel.
        taken: of these, what it made rows of.
        compared: of these, what Python made equal rows of.
        peak_rss_mib: the largest resident set of the process.
    """

    seed: int
    executions: int = 0
    taken: int = 0
    compared: int = 0
    peak_rss_mib: int = 0


class DifferentError(AssertionError):
    """The kernel took a request that Python refuses, or makes other rows of."""


def corpus() -> list[tuple[bytes, Encoding]]:
    """Short requests, for a mutation of a long one hits what matters too rarely."""
    bodies = [body for body in (*read_requests(_HOTROD), *generate(20, 2).requests) if len(body) <= _LONGEST]
    in_json = [(otlp_json(TracesData.FromString(body)), Encoding.JSON) for body in bodies]
    return [(body, Encoding.PROTOBUF) for body in bodies] + in_json


def damaged(body: bytes, chance: random.Random) -> bytes:
    """The body after one to four mutations."""
    data = bytearray(body)
    for _ in range(chance.randint(1, 4)):
        at, kind = chance.randrange(len(data) + 1), chance.randrange(4)
        if kind == 0:
            data[at : at + 1] = chance.randbytes(1)
        elif kind == 1:
            del data[at : at + chance.randint(1, 8)]
        elif kind == 2:
            data[at:at] = chance.randbytes(chance.randint(1, 8))
        else:
            start = chance.randrange(len(data) + 1)
            data[at:at] = data[start : start + chance.randint(1, 64)]
    return bytes(data)


def run(seconds: float, seed: int, compare_every: int) -> Report:
    """Fuzz until the time is over.

    Raises:
        DifferentError: see there; the message has the seed and the request.
    """
    kernel = load_kernel(Engine.KERNEL, _POLICY, [_KEY], Limits())
    assert kernel is not None
    bodies, chance, report = corpus(), random.Random(seed), Report(seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for body, encoding in chance.choices(bodies, k=100):
            _try(kernel, damaged(body, chance), encoding, report, compare_every)
    report.peak_rss_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return report


def _try(kernel: Kernel, body: bytes, encoding: Encoding, report: Report, compare_every: int) -> None:
    report.executions += 1
    made = kernel.decode(body, encoding, "fuzz", 0)
    if made is None:
        return
    report.taken += 1
    if report.taken % compare_every == 0:
        made.rows.validate(full=True)
        if repr(made.rows.to_pylist()) != repr(_twin(body, encoding).to_pylist()):
            raise DifferentError(f"seed {report.seed}: Python makes other rows of {body.hex()}")
        report.compared += 1


def _twin(body: bytes, encoding: Encoding) -> pa.RecordBatch:
    try:
        decoded = (decode_json if encoding is Encoding.JSON else decode_protobuf)(body, Limits())
    except InvalidRequestError as error:
        raise DifferentError(f"Python refuses {body.hex()}: {error}") from error
    if decoded.rejected:
        raise DifferentError(f"Python refuses spans of {body.hex()}: {decoded.message}")
    Governor(_POLICY, [_KEY]).govern(decoded.records)
    return build_rows(decoded.records, tenant="fuzz", received_at_ns=0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run and print; 1 when the two sides differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed makes the same requests")
    parser.add_argument("--compare-every", type=int, default=200, help="of so many taken requests, compare one")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    try:
        report = run(options.seconds, options.seed, options.compare_every)
    except DifferentError as error:
        sys.stderr.write(f"fuzz: {error}\n")
        return 1
    if options.json:
        sys.stdout.write(json.dumps(asdict(report)) + "\n")
    else:
        sys.stdout.write(
            f"{report.executions:,} requests (seed {report.seed}): {report.taken:,} taken, {report.compared:,} of them "
            f"compared and equal; peak memory {report.peak_rss_mib} MiB\n"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
