"""Claims lower no rule, classes are encrypted as promised, and keys are neither guessed nor replaced."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.labels import Classification, Retention
from spanward.processor.policy.span import AttributeValue, ResourceRecord, ScopeRecord, SpanRecord
from spanward.sidecar.component import Encoding
from spanward.sidecar.config import parse
from spanward.sidecar.service import Sidecar
from spanward.store.batch import Batch, Signal
from spanward.store.errors import KeyringError
from spanward.store.rows import build_rows
from spanward.store.schema import PAYLOAD_COLUMNS
from spanward.store.span_store import SpanStore
from tests.support.running import default_config

SECRET = "the payload that nobody without a key may read"
RULE = Policy.model_validate(
    {"labels": [{"match": {"service": "bank*"}, "classification": "confidential", "retention": "7d"}]}
)
KEYS = ("spanward.classification", "spanward.retention")


def labelled(policy: Policy, span: dict[str, Any], resource: dict[str, Any]) -> tuple[Classification, Retention]:
    """The labels of a span of the service `bank` with these attributes."""
    record = SpanRecord(
        "a" * 32, "b" * 16, "n", 1, 2, ResourceRecord({"service.name": "bank-1", **resource}), ScopeRecord(),
        attributes=dict(span),
    )  # fmt: skip
    Governor(policy).govern([record])
    assert record.verdict is not None
    return record.verdict.classification, record.verdict.retention


SPELLINGS: st.SearchStrategy[AttributeValue] = st.one_of(
    st.sampled_from(
        ["public", "PUBLIC", " Public ", "internal", "permanent", "PERMANENT", "2555d", "P9999D", "365 days"]
    ),
    st.sampled_from(
        ["public,restricted", "p\u00fcblic", "\uff50\uff55\uff42\uff4c\uff49\uff43", "30", "0d", "-1", "1e9"]
    ),
    st.text(max_size=12),
    st.integers(),
    st.booleans(),
    st.none(),
    st.floats(),
    st.binary(max_size=8),
    st.lists(st.sampled_from(["public", "permanent"]), max_size=2),
)
CLAIMS = st.dictionaries(
    st.sampled_from([*KEYS, "Spanward.Classification", "spanward.classification ", "SPANWARD.RETENTION"]), SPELLINGS
)


@given(span=CLAIMS, resource=CLAIMS)
def test_no_spelling_of_a_claim_lowers_a_rule(
    span: dict[str, AttributeValue], resource: dict[str, AttributeValue]
) -> None:
    """Any claim, on the span or its resource: never below the rule's class, never longer than its term."""
    classification, retention = labelled(RULE, span, resource)
    assert classification.rank >= Classification.CONFIDENTIAL.rank
    assert retention.days is not None
    assert retention.days <= 7


@pytest.mark.parametrize("claim", ["publik", "", 7.5, True, b"public", ["public"], {"a": "public"}])
def test_what_cannot_be_read_counts_as_unlabelled(claim: Any) -> None:
    """No label, and claims that are none: INTERNAL and 30 days."""
    default = (Classification.INTERNAL, Retention(30))
    assert labelled(Policy.default(), {}, {}) == default
    assert labelled(Policy.default(), {KEYS[0]: claim, KEYS[1]: claim}, {KEYS[0]: claim}) == default


def filled(data: Path) -> SpanStore:
    """A store with one committed span of each class, all text payload set."""
    store = SpanStore.open(data)
    records = [
        SpanRecord(
            "a" * 32,
            f"{number:016x}",
            "n",
            1,
            2,
            ResourceRecord({"service.name": "s", "note": SECRET}),
            ScopeRecord(SECRET, SECRET, {"note": SECRET}),
            status_message=SECRET,
            trace_state=SECRET,
            attributes={"spanward.classification": label.value, "note": SECRET, "url.full": SECRET, "l": [SECRET]},
        )
        for number, label in enumerate(Classification, 1)
    ]
    Governor(Policy.default()).govern(records)
    store.append(Batch(Signal.TRACES, build_rows(records, tenant="default", received_at_ns=store.clock.now_ns()), 1))
    store.commit()
    return store


def readers(path: Path, column: str) -> list[Any]:
    """Three readers without keys that ask one file for one column."""
    return [
        lambda: duckdb.sql(f"select {column} from read_parquet('{path}', hive_partitioning = false)").fetchall(),  # noqa: S608 - a column of ours
        lambda: pl.read_parquet(path, columns=[column], hive_partitioning=False).rows(),
        lambda: pq.ParquetFile(path).read([column]).to_pylist(),
    ]


@pytest.mark.parametrize("classification", ["internal", "confidential", "restricted"])
def test_no_reader_opens_payload_without_keys(tmp_path: Path, classification: str) -> None:
    """DuckDB, Polars and pyarrow on the file of each class: every payload column is refused, a clear one is read."""
    store = filled(tmp_path / "data")
    store.close()
    (path,) = (store.data / "lake" / "spans").rglob(f"classification={classification}/*.parquet")
    assert SECRET.encode() not in path.read_bytes()
    for column in PAYLOAD_COLUMNS:
        for read in readers(path, column):
            with pytest.raises((duckdb.Error, pl.exceptions.PolarsError, OSError, pa.ArrowException)):
                assert not read()
    assert readers(path, "name")[2]() == [{"name": "n"}]


def test_public_payload_is_clear(tmp_path: Path) -> None:
    """The file of class public: all three readers read its payload."""
    store = filled(tmp_path / "data")
    store.close()
    (path,) = (store.data / "lake" / "spans").rglob("classification=public/*.parquet")
    for read in readers(path, "url_full"):
        assert SECRET in str(read())


async def start_and_stop(data: Path) -> None:
    """A real sidecar's life, in which it takes one span and a record is made."""
    sidecar = Sidecar(parse(yaml.safe_dump(default_config()), source="test"), data)
    try:
        await sidecar.start()
        assert sidecar.graph is not None
        assert sidecar.store is not None
        (pipeline,) = sidecar.graph.pipelines.values()
        request = TracesData()
        request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"c" * 16, span_id=b"d" * 8, name="n")
        await pipeline.ingest(request.SerializeToString(), Encoding.PROTOBUF, "default")
        sidecar.store.compliance.append_audit("officer", "folder.inspect", {})
    finally:
        await sidecar.shutdown()


def content(data: Path) -> dict[str, bytes]:
    """Every file but locks and what SQLite keeps beside its database."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in data.rglob("*")
        if path.is_file() and "lock" not in path.name and ".sqlite-" not in path.name
    }


def lose(data: Path) -> None:
    shutil.rmtree(data / "keys")


def lose_with_the_lake(data: Path) -> None:
    shutil.rmtree(data / "keys")
    shutil.rmtree(data / "lake")


def keep_records_only(data: Path) -> None:
    for name in ("keys", "lake", "intake"):
        shutil.rmtree(data / name)


def exchange(data: Path) -> None:
    other = SpanStore.open(data.with_name("other"))
    other.close()
    shutil.copy(other.data / "keys" / "keyring.json", data / "keys" / "keyring.json")


def expose(data: Path) -> None:
    (data / "keys" / "keyring.json").chmod(0o644)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lose, r"keyring\.json is missing; restore it"),
        (lose_with_the_lake, r"keyring\.json is missing; restore it"),
        (keep_records_only, r"keyring\.json is missing; restore it"),
        (exchange, "key"),
        (expose, r"can be read by others; run: chmod 600"),
    ],
)
def test_a_sidecar_never_writes_under_keys_that_are_not_its_own(tmp_path: Path, harm: Any, message: str) -> None:
    """Scenario: the keyring of a used folder is missing, foreign or readable by others, then a start.

    Guarantee: it refuses in one line with the remedy, and no file was made, changed or removed.
    """
    data = tmp_path / "data"
    asyncio.run(start_and_stop(data))
    harm(data)
    before = content(data)
    with pytest.raises(KeyringError, match=message) as caught:
        asyncio.run(start_and_stop(data))
    assert "\n" not in str(caught.value)
    assert content(data) == before
