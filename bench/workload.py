"""The benchmark's workload: OTLP requests of a shop with language models, the same for the same seed.

Twelve services; traces of 4 to 20 spans; a fifth of the spans carry a prompt, a tenth of the prompts personal data
and a fiftieth something that only looks like it; a tenth of all spans an e-mail attribute; one in twenty failed, with
an exception event. About 500 bytes a span.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span, Status

from bench import personal_data
from bench.vocabulary import LLM, MODELS, SHOP, USER_AGENTS, WORDS, Operation

SEED: Final = 20260101
EPOCH_NS: Final = 1_767_225_600_000_000_000
_MS: Final = 1_000_000
_KINDS: Final = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_INTERNAL)


@dataclass(slots=True)
class Manifest:
    """What a workload holds, to be checked against what was stored."""

    requests: int = 0
    spans: int = 0
    traces: int = 0
    bytes: int = 0
    error_spans: int = 0
    prompts: int = 0
    prompts_with_pii: int = 0
    near_miss_prompts: int = 0
    email_attributes: int = 0
    spans_with_pii: int = 0
    prompt_pii: dict[str, int] = field(default_factory=lambda: dict.fromkeys(personal_data.KINDS, 0))

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with the bytes per span."""
        return asdict(self) | {"bytes_per_span": round(self.bytes / max(self.spans, 1), 1)}


@dataclass(frozen=True, slots=True)
class Workload:
    """Serialized ExportTraceServiceRequests and what is in them.

    Attributes:
        spans_with_pii: of each request.
        length_ns: of the time in which its traces begin, from `EPOCH_NS` on.
    """

    requests: tuple[bytes, ...]
    manifest: Manifest
    spans_with_pii: tuple[int, ...]
    length_ns: int

    def personal(self, calls: int) -> int:
        """Spans with personal data in so many calls that send the requests in turn, over and over."""
        rounds, rest = divmod(calls, len(self.requests))
        return rounds * self.manifest.spans_with_pii + sum(self.spans_with_pii[:rest])


def generate(requests: int, spans_per_request: int, *, seed: int = SEED) -> Workload:
    """Make `requests` requests of exactly `spans_per_request` spans each."""
    generator = _Generator(seed)
    bodies, personal = list[bytes](), list[int]()
    for _ in range(requests):
        before = generator.manifest.spans_with_pii
        bodies.append(generator.request(spans_per_request))
        personal.append(generator.manifest.spans_with_pii - before)
    return Workload(tuple(bodies), generator.manifest, tuple(personal), generator.now_ns - EPOCH_NS)


class _Generator:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.manifest = Manifest()
        self.now_ns = EPOCH_NS

    def request(self, spans: int) -> bytes:
        """One request, serialized."""
        message = ExportTraceServiceRequest()
        scopes: dict[str, ScopeSpans] = {}
        left = spans
        while left:
            size = min(self.random.randint(4, 20), left)
            self._trace(message, scopes, size)
            left -= size
        body = message.SerializeToString()
        self.manifest.requests += 1
        self.manifest.bytes += len(body)
        return body

    def _trace(self, message: ExportTraceServiceRequest, scopes: dict[str, ScopeSpans], size: int) -> None:
        self.manifest.traces += 1
        self.now_ns += self.random.randrange(1 * _MS, 50 * _MS)
        trace_id, with_models = self.random.randbytes(16), self.random.random() < 0.5
        ids: list[bytes] = []
        for _ in range(size):
            services = LLM if with_models and self.random.random() < 0.42 else SHOP
            service = self.random.choice(tuple(services))
            if service not in scopes:
                scopes[service] = self._scope(message, service)
            span = scopes[service].spans.add(trace_id=trace_id, span_id=self.random.randbytes(8), flags=0x101)
            span.parent_span_id = self.random.choice(ids) if ids else b""
            ids.append(span.span_id)
            self._fill(span, service, self.random.choice(services[service]))

    def _scope(self, message: ExportTraceServiceRequest, service: str) -> ScopeSpans:
        resource = message.resource_spans.add(schema_url="https://opentelemetry.io/schemas/1.29.0")
        _set(
            resource.resource.attributes,
            {
                "service.name": service,
                "service.version": "1.14.2",
                "service.namespace": "shop",
                "deployment.environment.name": "production",
                "host.name": f"ip-node-{self.random.randrange(40)}",
                "k8s.pod.name": f"{service}-6d5f7c9b8-{self.random.randrange(16**5):05x}",
                "telemetry.sdk.language": "python",
                "telemetry.sdk.name": "opentelemetry",
                "telemetry.sdk.version": "1.29.0",
            },
        )
        scope = resource.scope_spans.add()
        scope.scope.name = f"opentelemetry.instrumentation.{service.replace('-', '_')}"
        scope.scope.version = "0.50b0"
        return scope

    def _fill(self, span: Span, service: str, operation: Operation) -> None:
        random, failed = self.random, self.random.random() < 0.05
        span.name = operation.name
        span.kind = random.choice(_KINDS) if span.parent_span_id else Span.SPAN_KIND_SERVER
        span.start_time_unix_nano = self.now_ns + random.randrange(20 * _MS)
        span.end_time_unix_nano = span.start_time_unix_nano + int(
            random.lognormvariate(19.5 if service in LLM else 16.0, 1.0)
        )
        self._request_attributes(span, service, operation, failed=failed)
        personal = self._prompt_attributes(span) if service in LLM else self._web_attributes(span, operation)
        if random.random() < 0.10:
            _set(span.attributes, {"user.email": personal_data.email(random)})
            self.manifest.email_attributes += 1
            personal = True
        if failed:
            self._fail(span)
        self.manifest.spans += 1
        self.manifest.spans_with_pii += personal

    def _request_attributes(self, span: Span, service: str, operation: Operation, *, failed: bool) -> None:
        random = self.random
        _set(
            span.attributes,
            {
                "http.request.method": operation.method,
                "url.path": operation.route.replace("{id}", str(random.randrange(1_000, 100_000))),
                "http.response.status_code": random.choice(
                    (500, 502, 503, 429) if failed else (200, 200, 200, 201, 204)
                ),
                "server.address": f"{service}.prod.svc.cluster.local",
                "enduser.id": f"user-{random.randrange(100_000, 1_000_000)}",
            },
        )

    def _web_attributes(self, span: Span, operation: Operation) -> bool:
        random = self.random
        attributes: dict[str, str | int | float] = {
            "http.route": operation.route,
            "url.scheme": "https",
            "user_agent.original": random.choice(USER_AGENTS),
        }
        if random.random() < 0.6:
            attributes["server.port"] = random.choice((443, 8080, 50051))
        if random.random() < 0.5:
            attributes["network.protocol.version"] = random.choice(("1.1", "2"))
        if random.random() < 0.4:
            attributes["app.cart.total"] = round(random.random() * 500, 2)
        _set(span.attributes, attributes)
        return False

    def _prompt_attributes(self, span: Span) -> bool:
        random = self.random
        prompt, personal = self._prompt()
        attributes: dict[str, str | int | float] = {
            "gen_ai.operation.name": random.choice(("chat", "text_completion", "embeddings")),
            "gen_ai.request.model": random.choice(MODELS),
            "gen_ai.prompt": prompt,
            "gen_ai.usage.input_tokens": random.randrange(20, 8_000),
            "gen_ai.usage.output_tokens": random.randrange(1, 2_000),
        }
        if random.random() < 0.5:
            attributes["gen_ai.request.temperature"] = round(random.random(), 2)
        _set(span.attributes, attributes)
        return personal

    def _prompt(self) -> tuple[str, bool]:
        """A prompt of 80 to 300 characters and whether it names personal data."""
        random, wanted, words, length = self.random, self.random.randint(80, 300), list[str](), 0
        while length < wanted:
            words.append(random.choice(WORDS))
            length += len(words[-1]) + 1
        self.manifest.prompts += 1
        draw = random.random()
        if draw < 0.10:
            kind, (lead, make) = random.choice(tuple(personal_data.KINDS.items()))
            words.insert(random.randint(0, len(words)), lead + make(random))
            self.manifest.prompts_with_pii += 1
            self.manifest.prompt_pii[kind] += 1
        elif draw < 0.12:
            words.insert(random.randint(0, len(words)), self._near_miss())
            self.manifest.near_miss_prompts += 1
        return " ".join(words), draw < 0.10

    def _near_miss(self) -> str:
        random = self.random
        version = ".".join(str(random.randrange(20)) for _ in range(3))
        return random.choice(
            (
                f"order ORD{random.randrange(10**8):08d}",
                f"version {version}",
                "2026-01-05",
                f"qty {random.randrange(1000)}",
            )
        )

    def _fail(self, span: Span) -> None:
        random = self.random
        self.manifest.error_spans += 1
        span.status.code = Status.STATUS_CODE_ERROR
        span.status.message = "upstream request failed"
        event = span.events.add(name="exception", time_unix_nano=span.end_time_unix_nano)
        frames = (
            f'  File "/app/{random.choice(WORDS)}/{random.choice(WORDS)}.py", line {random.randrange(1, 900)}, '
            f"in {random.choice(WORDS)}\n"
            for _ in range(6)
        )
        _set(
            event.attributes,
            {
                "exception.type": random.choice(("TimeoutError", "java.net.ConnectException", "ValueError")),
                "exception.message": f"deadline exceeded after {random.randrange(100, 9000)}ms",
                "exception.stacktrace": "".join(frames),
            },
        )


def _set(attributes: Any, values: Mapping[str, str | int | float]) -> None:
    for key, value in values.items():
        any_value = attributes.add(key=key).value
        if isinstance(value, str):
            any_value.string_value = value
        elif isinstance(value, int):
            any_value.int_value = value
        else:
            any_value.double_value = value
