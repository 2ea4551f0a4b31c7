"""A set of spans, governed under the default policy and fixed keys, against the file beside this test.

The file was read by eye. When a change to the policy is meant to change it, run the test with SPANWARD_GOLDEN=write and
read the difference.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.span import Attributes, EventRecord, LinkRecord, ResourceRecord, ScopeRecord, SpanRecord

GOLDEN = Path(__file__).with_name("policy_spans.json")
KEY = HashKey("k1", b"0123456789abcdef0123456789abcdef")
MS = 1_000_000
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


def sample() -> list[SpanRecord]:
    shop = ResourceRecord(
        {
            "service.name": "shop",
            "service.version": "1.2.3.4",
            "host.ip": ["10.0.0.7"],
            "deployment.owner": "ops@example.com",
        },
    )
    models = ResourceRecord(
        {"service.name": "llm", "spanward.classification": "confidential", "spanward.retention": "7d"}
    )
    scope = ScopeRecord("shop.http", "2.0.0.1")

    def span(number: int, name: str, resource: ResourceRecord, attributes: Attributes, **more: Any) -> SpanRecord:
        ms = more.pop("ms", 12)
        return SpanRecord(
            "a1" * 16, f"{number:016x}", name, MS, MS + ms * MS, resource, scope, attributes=attributes, **more
        )

    return [
        span(
            1,
            "POST /checkout",
            shop,
            {
                "http.request.method": "POST",
                "url.full": "https://shop.example/checkout?email=alice%40example.com&phone=%2B1+415+555+2671",
                "user_agent.original": "Mozilla/5.0 Chrome/120.0.0.0",
                "client.address": "203.0.113.9",
                "server.address": "127.0.0.1",
                "http.request.header.authorization": ["Bearer abc123DEF456"],
                "http.request.header.cookie": ["sid=1"],
                "user.id": "u-77",
                "order.id": "ORD12345678901234",
                "trace.ref": "4bf92f3577b34da6a3ce929d0e0e4736",
            },
            kind=2,
        ),
        span(
            2,
            "charge card 4111 1111 1111 1111",
            shop,
            {
                "spanward.input": json.dumps({"card": "5500-0000-0000-0004", "cvv": 123, "password": "hunter2"}),
                "payment": {
                    "iban": "DE89 3704 0044 0532 0130 00",
                    "cvv": 123,
                    "amount": 9.5,
                    "note": b"ssn 123-45-6789",
                },
                "retry": [1, 2],
            },
            status_code=2,
            status_message="declined for Bob.Smith@Example.org",
            events=[
                EventRecord(5, "exception", {"exception.message": "peer 2001:db8::8a2e:370:7334 refused", "n": 1}),
                EventRecord(6, "retry", {"token": "xyz", "gen_ai.usage.input_tokens": 5}),
            ],
            links=[LinkRecord("b2" * 16, "c3" * 8, "vendor=alice@example.com", {"from": "(415) 555-2671"})],
            trace_state="vendor=1",
        ),
        span(
            3,
            "chat model-x",
            models,
            {
                "gen_ai.input.messages": json.dumps(
                    [
                        {
                            "role": "user",
                            "parts": [{"content": "I am\nalice@example.com, SSN 123-45-6789, from 203.0.113.9"}],
                        }
                    ],
                ),
                "gen_ai.output.messages": "<email:k1:00112233445566778899aabbccddeeff> and <card>",
                "gen_ai.usage.input_tokens": 812,
                "spanward.classification": "public",
                "spanward.event.type": "LLM Call",
                "spanward.memory_mb": 20_000.0,
            },
            ms=12_000,
        ),
        span(
            4,
            "leak",
            models,
            {
                "db.connection": "postgres://app:s3cret@db.internal:5432/x",
                "note": f"used {JWT}",
                "key": "AKIAIOSFODNN7EXAMPLE",
                "spanward.classification": "top",
                "spanward.contains_pii": False,
                "spanward.privacy.tags": ["health"],
                "bob@example.org": True,
            },
        ),
        span(
            5,
            "clean",
            ResourceRecord({"service.name": "clean"}),
            {"n": 1, "http.route": "/a/{id}", "v": 0.4111111111111111},
        ),
    ]


def as_json(spans: list[SpanRecord]) -> str:
    return json.dumps([dataclasses.asdict(span) for span in spans], indent=2, default=_plain, ensure_ascii=False) + "\n"


def _plain(value: object) -> object:
    return {"bytes": value.decode()} if isinstance(value, bytes) else str(value)


def test_the_sample_is_governed_as_reviewed() -> None:
    """Five spans with personal data, secrets, claims and lookalikes in every place: exactly what the file says."""
    spans = sample()
    Governor(Policy.default(), [KEY]).govern(spans)
    written = as_json(spans)
    if os.environ.get("SPANWARD_GOLDEN") == "write":
        GOLDEN.write_text(written, encoding="utf-8")

    assert written == GOLDEN.read_text(encoding="utf-8")
