"""The `policy` processor: configuration, and requests that become governed rows."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from spanward.processor.governance.config import PolicyConfig
from spanward.processor.governance.factory import create, factory
from spanward.processor.governance.governance import Governance
from spanward.processor.governance.limits import Limits
from spanward.processor.policy.keys import HashKey
from spanward.sidecar.component import Decoder, Encoding, Host
from spanward.store.errors import ConfigurationError, InvalidRequestError
from spanward.store.schema import SPANS

SPAN = {
    "traceId": "0102030405060708090a0b0c0d0e0f10",
    "spanId": "0102030405060708",
    "name": "GET /orders",
    "attributes": [{"key": "note", "value": {"stringValue": "write to jane.doe@example.com today"}}],
}


@pytest.fixture
def metrics() -> CollectorRegistry:
    return CollectorRegistry()


Make = Callable[..., Governance]


@pytest.fixture
def make(metrics: CollectorRegistry) -> Make:
    """Makes processors that share one registry and one key."""
    key = HashKey("k1", b"s" * 32)
    keyring = SimpleNamespace(hash_keys=lambda: (key,))

    def governance(identifier: str = "policy", **options: Any) -> Governance:
        host = SimpleNamespace(
            identifier=identifier,
            store=SimpleNamespace(keyring=keyring),
            metrics=metrics,
            logger=logging.getLogger(f"spanward.processor/{identifier}"),
        )
        return create(PolicyConfig.model_validate(options), cast("Host", host))

    return governance


def request(*spans: Any) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        {"polcy": {}},
        {"policy": {}, "file": "policy.yaml"},
        {"policy": {"labls": []}},
        {"limits": {"nesting": 33}},
        {"limits": {"spans": 0}},
    ],
)
def test_wrong_configuration_is_refused(wrong: dict[str, Any]) -> None:
    """Unknown keys here and in the policy, two sources of policy, limits beyond what parsers can: refused."""
    with pytest.raises(ValidationError):
        PolicyConfig.model_validate(wrong)


def test_policy_file_that_is_not_there_is_named(make: Make, tmp_path: Path) -> None:
    """A wrong path: an error that names the file, before anything is received."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.yaml"):
        make(file=str(tmp_path / "nowhere.yaml"))


def test_policy_comes_from_the_file(make: Make, tmp_path: Path) -> None:
    """A policy file that keeps everything for a week: the rows say so."""
    path = tmp_path / "policy.yaml"
    path.write_text("defaults:\n  retention: 7d\n")
    decoded = make(file=str(path)).decode(request(SPAN), Encoding.JSON, "acme", 0)
    assert decoded.batch.rows.column("retention").to_pylist() == ["7d"]


def test_policy_in_place_comes_from_the_configuration(make: Make) -> None:
    """The policy written in the sidecar's own configuration."""
    governance = make(policy={"defaults": {"classification": "restricted"}})
    decoded = governance.decode(request(SPAN), Encoding.JSON, "acme", 0)
    assert decoded.batch.rows.column("classification").to_pylist() == ["restricted"]


def test_limits_reach_the_decoder(make: Make) -> None:
    """A limit of one span: two are refused."""
    assert PolicyConfig().limits.to_limits() == Limits()
    with pytest.raises(InvalidRequestError, match="more than 1 spans"):
        make(limits={"spans": 1}).decode(request(SPAN, SPAN), Encoding.JSON, "acme", 0)


async def test_it_is_a_decoder_with_a_life(make: Make) -> None:
    """The processor is what a pipeline begins with."""
    governance = make()
    assert factory.config is PolicyConfig
    assert isinstance(governance, Decoder)
    await governance.start()
    await governance.shutdown()


def test_personal_data_does_not_reach_the_rows(make: Make, metrics: CollectorRegistry) -> None:
    """A span with an address in its text, beside a bad one: one row without it, one refusal, both counted."""
    decoded = make().decode(request(SPAN, {"name": "bad"}), Encoding.JSON, "acme", 1_767_225_600_000_000_000)
    rows = decoded.batch.rows
    assert rows.schema.equals(SPANS)
    assert (len(decoded.batch), decoded.rejected, decoded.dropped) == (1, 1, 0)
    assert decoded.message == "span 1 of resource 0, scope 0: traceId has 0 bytes, not 16"
    assert "jane" not in json.dumps(rows.to_pylist(), default=str)
    assert rows.column("pii").to_pylist() == [["email"]]
    assert (rows.column("tenant").to_pylist(), decoded.batch.sequence) == (["acme"], 0)
    value = metrics.get_sample_value
    assert value("spanward_policy_spans_total", {"processor": "policy", "outcome": "stored"}) == 1
    assert value("spanward_policy_spans_total", {"processor": "policy", "outcome": "rejected"}) == 1
    assert value("spanward_policy_pii_spans_total", {"processor": "policy", "type": "email"}) == 1


def test_broken_quality_rule_is_counted(make: Make, metrics: CollectorRegistry) -> None:
    """A span that ends before it starts: stored, with the violation counted by its rule."""
    span = {**SPAN, "startTimeUnixNano": "2000", "endTimeUnixNano": "1000"}
    rows = make().decode(request(span), Encoding.JSON, "acme", 0).batch.rows
    ((rule, *_),) = rows.column("quality_violations").to_pylist()
    assert metrics.get_sample_value("spanward_policy_violations_total", {"processor": "policy", "rule": rule}) == 1


def test_dropped_span_is_accepted_and_not_stored(make: Make, metrics: CollectorRegistry) -> None:
    """A rule that says not to store health checks: no row, no refusal, counted as dropped."""
    governance = make("policy/b", policy={"labels": [{"match": {"operation": "GET /health*"}, "drop": True}]})
    decoded = governance.decode(request({**SPAN, "name": "GET /healthz"}, SPAN), Encoding.JSON, "acme", 0)
    assert (len(decoded.batch), decoded.rejected, decoded.dropped) == (1, 0, 1)
    labels = {"processor": "policy/b", "outcome": "dropped"}
    assert metrics.get_sample_value("spanward_policy_spans_total", labels) == 1


def test_two_processors_share_the_registry(make: Make) -> None:
    """Two policies in one sidecar: the second registers without a clash."""
    assert make("policy") is not make("policy/2")
