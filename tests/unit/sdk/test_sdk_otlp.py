"""The OTLP exporter on its way: what is retried, what is lost and said, what the variables mean."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from spanward.processor.otel.encoder import SpanEncoder
from spanward.processor.policy.config import Policy
from spanward.processor.policy.native import Engine
from spanward.sdk._answer import Refused, Taken
from spanward.sdk._endpoint import read_endpoint
from spanward.sdk._exporters import governed_exporter
from spanward.sdk._otlp import OtlpBatchProcessor, OtlpSpanExporter
from spanward.sdk._sender import Sender
from spanward.sdk._settings import load_engine, make_destination
from spanward.store.errors import ConfigurationError
from tests.support.readable_spans import Number
from tests.unit.sdk.sdk_collector import Collector, attributes, grpc_collector, http_collector

UNAVAILABLE, EXHAUSTED, INVALID = 14, 8, 3


@pytest.fixture(params=["grpc", "http/protobuf"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[tuple[Collector, str]]:
    """An endpoint of each protocol."""
    with grpc_collector() if request.param == "grpc" else http_collector() as collector:
        yield collector, request.param


def exporter_for(collector: Collector, protocol: str, **settings: Any) -> SpanExporter:
    destination = make_destination(collector.endpoint, protocol=protocol, **settings)
    return governed_exporter(destination, Policy.default(), [])


def ended(name: str = "GET", **values: Any) -> ReadableSpan:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("t").start_span(name, attributes=values)
    span.end()
    assert isinstance(span, ReadableSpan)
    return span


def soon(protocol: str, seconds: float = 0) -> tuple[int, dict[str, Any], bytes]:
    """An answer that asks to come back."""
    if protocol != "grpc":
        return 503, {"retry-after": int(seconds)}, b""
    status = Status(code=UNAVAILABLE)
    status.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=int(seconds))))
    return UNAVAILABLE, {"grpc-status-details-bin": status.SerializeToString()}, b"busy"


class Deaf:
    """A transport that takes all."""

    def send(self, body: bytes, timeout: float) -> Taken | Refused:
        return Taken()

    def close(self) -> None: ...


def test_spans_arrive_governed(endpoint: tuple[Collector, str]) -> None:
    """One span over each protocol, compressed: all of it arrives but for the address."""
    collector, protocol = endpoint
    exporter = exporter_for(collector, protocol, compression="gzip", headers={"X-Team": "red"})
    assert exporter.export([ended(to="jo@example.com", n=1)]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    (span,) = collector.spans()
    assert attributes(span) | {"to": "<email>", "n": 1} == attributes(span)
    assert collector.headers[0]["x-team"] == "red"
    assert "spanward/" in collector.headers[0]["user-agent"]


def test_what_may_be_taken_later_is_sent_again(endpoint: tuple[Collector, str]) -> None:
    """Busy twice, with the time to wait: the same request arrives the third time, once."""
    collector, protocol = endpoint
    collector.answers.extend([soon(protocol), soon(protocol)])
    exporter = exporter_for(collector, protocol)
    assert exporter.export([ended()]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert len(collector.requests) == 1


@pytest.mark.parametrize("status", [429, 502, 504])
def test_every_status_that_means_later_is_retried(status: int, http_endpoint: Collector) -> None:
    """OTLP's list of statuses, besides 503."""
    http_endpoint.answers.append((status, {"retry-after": "Fri, 21 Nov 2025 10:00:00 GMT"}, b""))
    exporter = exporter_for(http_endpoint, "http/protobuf")
    assert exporter.export([ended()]) is SpanExportResult.SUCCESS


def test_without_being_told_when_the_pause_grows() -> None:
    """Busy, and no word of how long: pauses that double, with jitter, until the next would not fit into the timeout."""
    pauses: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout or 0)
            return False

    class Busy(Deaf):
        def send(self, body: bytes, timeout: float) -> Taken | Refused:
            return Refused("busy", retry=True)

    sender = Sender(Busy, "here", 10)
    sender._stop = Stop()
    assert not sender.send(b"", 1)
    assert [round(pause / 2**place) for place, pause in enumerate(pauses)] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("code", "trailers"),
    [(INVALID, {}), (EXHAUSTED, {}), (EXHAUSTED, {"grpc-status-details-bin": b"\xff"})],
)
def test_what_will_never_be_taken_is_sent_once(
    code: int, trailers: dict[str, Any], grpc_endpoint: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused, or exhausted without a word of when: one attempt, and the log says what the endpoint said."""
    grpc_endpoint.answers.append((code, trailers, b"not like this"))
    exporter = exporter_for(grpc_endpoint, "grpc")
    assert exporter.export([ended()]) is SpanExportResult.FAILURE
    exporter.shutdown()
    assert not grpc_endpoint.requests
    assert "1 spans are lost" in caplog.text
    assert "not like this" in caplog.text


def test_a_bare_retry_info_is_read_too(grpc_endpoint: Collector) -> None:
    """Some servers send RetryInfo beside the status: exhausted is then a matter of time."""
    grpc_endpoint.answers.append((EXHAUSTED, {"google.rpc.retryinfo-bin": RetryInfo().SerializeToString()}, b""))
    exporter = exporter_for(grpc_endpoint, "grpc")
    assert exporter.export([ended()]) is SpanExportResult.SUCCESS
    exporter.shutdown()


def test_a_refusal_over_http_says_why(http_endpoint: Collector, caplog: pytest.LogCaptureFixture) -> None:
    """400 with a Status: no second attempt, and its message in the log."""
    body = Status(message="spans are too blue").SerializeToString()
    http_endpoint.answers.append((400, {"content-type": "application/x-protobuf"}, body))
    assert exporter_for(http_endpoint, "http/protobuf").export([ended()]) is SpanExportResult.FAILURE
    assert "400 Bad Request: spans are too blue" in caplog.text


def test_a_wait_beyond_the_timeout_is_not_begun(endpoint: tuple[Collector, str]) -> None:
    """Come back in an hour: given up at once."""
    collector, protocol = endpoint
    collector.answers.append(soon(protocol, 3600))
    exporter = exporter_for(collector, protocol)
    assert exporter.export([ended()]) is SpanExportResult.FAILURE
    exporter.shutdown()


def test_shutdown_ends_a_wait(endpoint: tuple[Collector, str]) -> None:
    """An export that waits for its retry, and a shutdown: the export fails, and so do later ones."""
    collector, protocol = endpoint
    collector.answers.append(soon(protocol, 3600))
    exporter = exporter_for(collector, protocol, timeout=7200)
    results: list[SpanExportResult] = []
    thread = threading.Thread(target=lambda: results.append(exporter.export([ended()])))
    thread.start()
    while collector.answers:
        thread.join(0.01)
    exporter.shutdown()
    thread.join()
    exporter.shutdown()
    assert results == [SpanExportResult.FAILURE]
    assert exporter.export([ended()]) is SpanExportResult.FAILURE
    assert not collector.requests


def test_partial_success_is_counted(endpoint: tuple[Collector, str], caplog: pytest.LogCaptureFixture) -> None:
    """Two of the spans were refused, twice: success, nothing sent again, counted, said once."""
    collector, protocol = endpoint
    partial = {"rejected_spans": 2, "error_message": "too old"}
    collector.response = ExportTraceServiceResponse(partial_success=partial)  # type: ignore[arg-type]  # dicts are taken
    exporter = exporter_for(collector, protocol)
    for _ in range(2):
        assert exporter.export([ended(), ended(), ended()]) is SpanExportResult.SUCCESS
    exporter.shutdown()
    assert isinstance(exporter, OtlpSpanExporter)
    assert (exporter.rejected, exporter.dropped, exporter.failed) == (4, 0, 0)
    assert caplog.text.count("rejected 2 spans (too old)") == 1


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_endpoint_that_is_not_there(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens: the export fails within its timeout, with a line and no exception."""
    collector = Collector("http://127.0.0.1:1")
    exporter = exporter_for(collector, protocol, timeout=0.2)
    assert exporter.export([ended()]) is SpanExportResult.FAILURE
    assert exporter.force_flush()
    exporter.shutdown()
    assert "127.0.0.1:1" in caplog.text
    assert "Traceback" not in caplog.text


def test_a_url_that_is_none_is_a_failure(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A variable with a scheme that nobody speaks: one attempt, told."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "carrier://pigeon")
    exporter = governed_exporter(make_destination(protocol="http/protobuf"), Policy.default(), [])
    assert exporter.export([ended()]) is SpanExportResult.FAILURE
    assert "carrier://pigeon did not take them: InvalidSchema" in caplog.text


def test_dropped_spans_make_no_request(http_endpoint: Collector) -> None:
    """A rule drops all of a batch: success, and nothing is sent."""
    policy = Policy.model_validate({"labels": [{"match": {"operation": "GET"}, "drop": True}]})
    exporter = governed_exporter(make_destination(http_endpoint.endpoint, protocol="http/protobuf"), policy, [])
    assert exporter.export([ended(), ended()]) is SpanExportResult.SUCCESS
    assert isinstance(exporter, OtlpSpanExporter)
    assert (exporter.dropped, http_endpoint.bodies) == (2, [])


def test_spans_that_cannot_be_encoded_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """The encoder raises: a failure and a line, for an exporter must not raise."""

    class Broken(SpanEncoder):
        def encode(self, spans: Any) -> Any:
            raise ValueError("jo@example.com")

    exporter = OtlpSpanExporter(Broken(Policy(), []), Sender(Deaf, "here", 1))
    assert exporter.export([ended()]) is SpanExportResult.FAILURE
    assert "1 spans are lost: they could not be encoded (ValueError)" in caplog.text
    assert "jo@example.com" not in caplog.text


def test_a_forked_child_opens_its_own_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a child sees it, under another process id: a transport of its own, and the parent's is left alone."""
    made: list[Deaf] = []

    def connect() -> Deaf:
        made.append(Deaf())
        return made[-1]

    sender = Sender(connect, "here", 1)
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        assert sender.send(b"", 1)
    assert len(made) == 2


# --- waiting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["kernel", "python"])
def test_spans_wait_for_their_batch(engine: str, http_endpoint: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain and odd spans of one batch, held by the kernel or not: all arrive governed, but for one not sampled."""
    if engine == "kernel":
        pytest.importorskip("spanward.native")
    monkeypatch.setenv("SPANWARD_ENGINE", engine)
    exporter = exporter_for(http_endpoint, "http/protobuf")
    assert isinstance(exporter, OtlpSpanExporter)
    waiting: list[ReadableSpan] = []
    hold = exporter.hold

    def watched(span: ReadableSpan) -> ReadableSpan:
        waiting.append(hold(span))
        return waiting[-1]

    monkeypatch.setattr(exporter, "hold", watched)
    processor = OtlpBatchProcessor(exporter)
    processor.on_end(ended("plain", to="jo@example.com"))
    processor.on_end(ended("odd", to="jo@example.com", n=Number(3)))
    unsampled = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(0))
    processor.on_end(ReadableSpan("unsampled", unsampled))
    assert processor.force_flush()
    processor.shutdown()  # type: ignore[no-untyped-call]  # the SDK declares no types here
    assert isinstance(waiting[0], ReadableSpan) is (engine == "python")
    assert isinstance(waiting[1], ReadableSpan)
    assert [span.name for span in http_endpoint.spans()] == ["plain", "odd"]
    assert not any(b"jo@example.com" in body for body in http_endpoint.bodies)


def test_a_span_that_raises_is_pythons() -> None:
    """A property of a span raises: it waits as it is, and costs itself when the batch is governed."""
    native = pytest.importorskip("spanward.native")

    class Raising(ReadableSpan):
        @property
        def attributes(self) -> Any:
            raise LookupError("gone")

    span = Raising("odd", SpanContext(1, 2, is_remote=False))
    assert native.hold(span) is span
    encoder = SpanEncoder(Policy(), [])
    assert encoder.encode([span, ended()]).spans == 1
    assert encoder.failed == 1


# --- engines ----------------------------------------------------------------------------------------------------------


def test_the_engine_is_chosen_by_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing said is `auto`; what does not exist is refused with what does."""
    assert load_engine() is Engine.AUTO
    monkeypatch.setenv("SPANWARD_ENGINE", "python")
    assert load_engine() is Engine.PYTHON
    monkeypatch.setenv("SPANWARD_ENGINE", "fortran")
    with pytest.raises(ConfigurationError, match="'fortran' is none of auto, kernel, python"):
        load_engine()


def test_a_failing_kernel_costs_no_spans(caplog: pytest.LogCaptureFixture) -> None:
    """A panic comes as RuntimeError: Python encodes the spans, and it is said once."""

    class Failing:
        def encode(self, *_: object) -> None:
            raise RuntimeError("the kernel failed on a request; please report it")

    encoder = SpanEncoder(Policy(), [], Engine.PYTHON)
    encoder._native = Failing()
    assert [encoder.encode([ended()]).spans for _ in range(2)] == [1, 1]
    assert caplog.text.count("please report it") == 1


def test_a_forked_child_loads_its_own_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock inside the kernel that was held at the fork is held for ever: the child makes a new one."""
    pytest.importorskip("spanward.native")
    encoder = SpanEncoder(Policy(), [], Engine.KERNEL)
    before = encoder._native
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        assert encoder.encode([ended()]).spans == 1
    assert encoder._native is not before


# --- settings ---------------------------------------------------------------------------------------------------------


def test_defaults() -> None:
    """Nothing said: the collector on this machine, plain, ten seconds."""
    grpc_, http = (read_endpoint(make_destination(protocol=protocol)) for protocol in ("grpc", "http/protobuf"))
    assert (grpc_.address, http.address) == ("localhost:4317", "http://localhost:4318/v1/traces")
    assert (grpc_.insecure, grpc_.compression, grpc_.timeout, dict(grpc_.headers)) == (True, "none", 10.0, {})


def test_variables_for_traces_win_over_general_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting by both variables: the one for traces; an argument over both."""
    general = {"ENDPOINT": "http://a:1", "HEADERS": "k=general", "TIMEOUT": "1", "COMPRESSION": "none"}
    traces = {"ENDPOINT": "http://b:2/x", "HEADERS": "k=of%20traces", "TIMEOUT": "2.5", "COMPRESSION": "gzip"}
    for name, value in general.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    destination = make_destination(protocol="http/protobuf")
    assert read_endpoint(destination).address == "http://a:1/v1/traces"
    for name, value in traces.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_TRACES_{name}", value)
    found = read_endpoint(destination)
    assert (found.address, found.timeout, found.compression) == ("http://b:2/x", 2.5, "gzip")
    assert found.headers == {"k": "of traces"}
    given = make_destination("http://c:3", protocol="http/protobuf", headers={}, timeout=3, compression="none")
    found = read_endpoint(given)
    assert (found.address, found.timeout, found.compression) == ("http://c:3/v1/traces", 3, "none")
    assert found.headers == {}


@pytest.mark.parametrize(
    ("url", "variable", "argument", "insecure"),
    [
        ("http://c:1", None, None, True),
        ("c:1", None, None, False),
        ("c:1", "true", None, True),
        ("c:1", "true", False, False),
        ("http://c:1", "false", None, False),
        ("https://c:1", "true", True, False),
        ("unix:/run/collector", "true", None, True),
    ],
)
def test_when_grpc_goes_without_tls(
    url: str, variable: str | None, argument: bool | None, insecure: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the stock exporter decides: https is TLS, then what is given, then the variable, then an http URL."""
    if variable is not None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_INSECURE", variable)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    found = read_endpoint(make_destination(protocol="grpc", insecure=argument))
    assert (found.insecure, found.address) == (insecure, url.rpartition("://")[2])


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("TIMEOUT", "soon", "OTEL_EXPORTER_OTLP_TIMEOUT='soon' is not a number of seconds above 0"),
        ("TIMEOUT", "-1", "OTEL_EXPORTER_OTLP_TIMEOUT"),
        ("COMPRESSION", "brotli", "brotli"),
        ("CERTIFICATE", "/nowhere.pem", "OTEL_EXPORTER_OTLP_CERTIFICATE='/nowhere.pem' is no file"),
    ],
)
def test_wrong_variables_are_named(name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each wrong variable: refused at the start, by its name."""
    monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)
    with pytest.raises(ConfigurationError, match=told):
        read_endpoint(make_destination("https://c:1"))


# --- TLS --------------------------------------------------------------------------------------------------------------


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine that signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "spanward test")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    of_certificate, of_key = folder / "certificate.pem", folder / "key.pem"
    of_certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    of_key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return of_certificate, of_key


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_both_sides_show_their_certificates(protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TLS with a client's certificate, all by variable: taken; without the certificates nothing is sent."""
    signed, key = certificate(tmp_path)
    if protocol == "grpc":
        pair = (key.read_bytes(), signed.read_bytes())
        server = grpc_collector(grpc.ssl_server_credentials([pair], signed.read_bytes(), require_client_auth=True))
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(signed, key)
        context.load_verify_locations(signed)
        context.verify_mode = ssl.CERT_REQUIRED
        server = http_collector(context)
    with server as collector:
        bare = exporter_for(collector, protocol, timeout=0.5)
        assert bare.export([ended()]) is SpanExportResult.FAILURE
        bare.shutdown()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(signed))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", str(signed))
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", str(key))
        exporter = exporter_for(collector, protocol)
        assert exporter.export([ended()]) is SpanExportResult.SUCCESS
        exporter.shutdown()
        assert len(collector.requests) == 1


def test_a_certificate_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that vanishes or is somebody else's: refused at the start."""
    signed = tmp_path / "certificate.pem"
    signed.touch()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(signed))
    destination = make_destination("https://c:1", protocol="grpc")
    monkeypatch.setattr(Path, "read_bytes", lambda _: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(ConfigurationError, match=r"certificate\.pem cannot be read: Permission denied"):
        governed_exporter(destination, Policy.default(), [])
