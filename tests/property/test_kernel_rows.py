"""The compiled kernel makes the rows that the Python twin makes, or leaves the request to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.processor.governance.decode_json import decode_json
from spanward.processor.governance.decode_protobuf import decode_protobuf
from spanward.processor.governance.governed import GovernedRows
from spanward.processor.governance.kernel import Kernel, load_kernel
from spanward.processor.governance.limits import Limits
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.native import Engine
from spanward.sidecar.component import Encoding
from spanward.sidecar.demo.hotrod import read_requests
from spanward.store.errors import InvalidRequestError
from spanward.store.rows import build_rows
from spanward.store.text import well_formed
from tests.support.kernel_policies import CLAIMED, CLAIMS, HASH_KEY, POLICIES
from tests.support.otlp_requests import KEY, damage, damage_json, odd_json, otlp_json, requests
from tests.support.planted_texts import PLANTED_TEXTS

pytest.importorskip("spanward.native", reason="the kernel is not built: `make kernel` builds it (needs Rust)")

NOW: Final = 1_763_700_000_123_456_789
HOTROD: Final = Path(__file__).parents[1] / "data" / "hotrod.otlp"

TEXTS: Final = (PLANTED_TEXTS | CLAIMED).map(well_formed)
PLANTED: Final = requests(TEXTS, st.sampled_from(CLAIMS) | KEY | TEXTS)


class Pair:
    """A kernel and its twin under one policy, each with baselines of its own that see the same spans."""

    def __init__(self, name: str, *, key: bool = True) -> None:
        policy, keys = Policy.model_validate(POLICIES[name]), [HASH_KEY] if key else []
        kernel = load_kernel(Engine.KERNEL, policy, keys, Limits())
        assert kernel is not None
        self.kernel: Kernel = kernel
        self.governor = Governor(policy, keys)

    def twin(self, body: bytes, encoding: Encoding = Encoding.PROTOBUF) -> GovernedRows:
        spans = DECODERS[encoding](body, Limits())
        assert spans.rejected == 0, spans.message
        self.governor.govern(spans.records)
        rows = build_rows(spans.records, tenant="acme", received_at_ns=NOW)
        verdicts = [record.verdict for record in spans.records if record.verdict is not None]
        return GovernedRows(
            rows,
            len(spans.records) - rows.num_rows,
            Counter(entity for verdict in verdicts for entity in verdict.pii),
            Counter(rule for verdict in verdicts for rule in verdict.quality_violations),
        )

    def compare(self, body: bytes, encoding: Encoding = Encoding.PROTOBUF) -> bool:
        """Whether the kernel took the request; if so, all that it made of it is what the twin makes."""
        made = self.kernel.decode(body, encoding, "acme", NOW)
        if made is None:
            return False
        made.rows.validate(full=True)
        expected = self.twin(body, encoding)
        assert text_of(made.rows) == text_of(expected.rows)
        assert made.rows.schema.equals(expected.rows.schema)
        assert (made.dropped, dict(made.pii), dict(made.violations)) == (
            expected.dropped,
            dict(expected.pii),
            dict(expected.violations),
        )
        return True


DECODERS: Final = {Encoding.PROTOBUF: decode_protobuf, Encoding.JSON: decode_json}


def text_of(rows: pa.RecordBatch) -> dict[str, str]:
    """Column by column as text: NaN is not equal to itself, and a difference is found in its column."""
    return {name: repr(rows[name].to_pylist()) for name in rows.schema.names}


@pytest.mark.parametrize("name", POLICIES)
@given(data=PLANTED)
@settings(max_examples=60, deadline=None)
def test_rows_are_the_same(name: str, data: TracesData) -> None:
    """Any good request full of personal data and claims, under each policy: equal rows, tags and counts."""
    Pair(name).compare(data.SerializeToString())


@given(data=PLANTED)
@settings(max_examples=60, deadline=None)
def test_rows_are_the_same_without_a_key(data: TracesData) -> None:
    """No hash key: masks instead of hashes, no subjects, on both sides."""
    Pair("default", key=False).compare(data.SerializeToString())


@given(data=requests(), draw=st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_requests_are_left_or_equal(data: TracesData, draw: st.DataObject) -> None:
    """Any request with damaged bytes: what the kernel takes, the twin makes the same rows of; nothing crashes."""
    pair, body = Pair("default"), damage(data.SerializeToString(), draw)
    made = pair.kernel.decode(body, Encoding.PROTOBUF, "acme", NOW)
    if made is None:
        return
    try:
        expected = decode_protobuf(body, Limits())
    except InvalidRequestError:
        pytest.fail("the kernel took a request that the twin refuses")
    assert expected.rejected == 0, expected.message
    pair.governor.govern(expected.records)
    rows = build_rows(expected.records, tenant="acme", received_at_ns=NOW)
    assert text_of(made.rows) == text_of(rows)


@given(data=PLANTED)
@settings(max_examples=100, deadline=None)
def test_json_makes_the_same_rows(data: TracesData) -> None:
    """Any good request full of personal data: the kernel takes OTLP/JSON when it takes protobuf; the rows are equal."""
    taken = Pair("default").compare(otlp_json(data), Encoding.JSON)
    assert taken == Pair("default").compare(data.SerializeToString())


@pytest.mark.parametrize("spoil", [damage_json, odd_json])
@given(data=requests(), draw=st.data())
@settings(max_examples=300, deadline=None)
def test_odd_json_is_left_or_equal(
    spoil: Callable[[bytes, st.DataObject], bytes], data: TracesData, draw: st.DataObject
) -> None:
    """Damaged OTLP/JSON, or with values that are odd in their place: left to the twin, or equal; nothing crashes."""
    try:
        Pair("off").compare(spoil(otlp_json(data), draw), Encoding.JSON)
    except InvalidRequestError as error:
        pytest.fail(f"the kernel took a request that the twin refuses: {error}")


def test_recorded_traffic_is_the_kernels_and_equal() -> None:
    """The recorded HotROD traffic, request by request with growing baselines: all of it is the kernel's, and equal."""
    pair = Pair("default")
    taken = [pair.compare(body) for body in read_requests(HOTROD)]
    assert len(taken) == 174
    assert all(taken)


def test_threads_do_not_disturb_each_other() -> None:
    """Eight threads with one kernel, without baselines, whose order would matter: the rows of one thread alone."""
    policy = Policy.model_validate({"quality": {"anomaly": {"enabled": False}}})
    kernel = load_kernel(Engine.KERNEL, policy, [HASH_KEY], Limits())
    assert kernel is not None

    def rows(body: bytes) -> dict[str, str]:
        made = kernel.decode(body, Encoding.PROTOBUF, "acme", NOW)
        assert made is not None
        return text_of(made.rows)

    requests_twice = [*read_requests(HOTROD), *read_requests(HOTROD)]
    alone = [rows(body) for body in requests_twice]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(rows, requests_twice)) == alone


def test_ordinary_requests_are_the_kernels() -> None:
    """A request with every kind of value, an event, a link and text that is not UTF-8: the kernel takes it."""
    data = TracesData()
    span = data.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="n" * 9)
    span.events.add(name="e").attributes.add(key="list").value.array_value.values.add(string_value="a")
    span.links.add(trace_id=b"t" * 16, span_id=b"l" * 8)
    for key, value in (("s", "text"), ("i", 1), ("d", 1.5), ("b", True), ("y", b"bytes")):
        kind = {str: "string", int: "int", float: "double", bool: "bool", bytes: "bytes"}[type(value)]
        setattr(span.attributes.add(key=key).value, f"{kind}_value", value)
    body = data.SerializeToString().replace(b"n" * 9, b"caf\xe9 \xff\xf0\x9f!")
    assert Pair("default").compare(body)
