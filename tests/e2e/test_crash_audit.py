"""The judge of the crash tests: it must see every kind of deviation, or their silence proves nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from spanward.store.clock import SystemClock
from spanward.store.span_store import SpanStore
from tests.support.crash_audit import Audit, audit, bare_spans, compare
from tests.support.crash_load import Ledger
from tests.support.crash_process import ChildError, ChildSidecar
from tests.support.hosts import span_batch

ACKNOWLEDGED = {"a": frozenset({"1", "2"})}
UNANSWERED = {"b": frozenset({"3", "4"})}


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([("a", "1")], "1 acknowledged spans are lost, such as ('a', '2')"),
        ([("a", "1"), ("a", "2"), ("a", "2")], "1 spans are stored more than once, such as ('a', '2')"),
        ([("a", "1"), ("a", "2"), ("b", "3")], "1 requests are stored in part, such as b"),
        ([("a", "1"), ("a", "2"), ("c", "1")], "1 spans were never sent, such as ('c', '1')"),
        ([("a", "1"), ("a", "2")], ""),
        ([("a", "1"), ("a", "2"), ("b", "3"), ("b", "4")], ""),
    ],
)
def test_every_deviation_is_seen(found: list[tuple[str, str]], problem: str) -> None:
    """Scenario: a span is missing, doubled, half a request, or nobody's; or all is well. Guarantee: that is said."""
    result = Audit()
    compare(result, Counter(found), ACKNOWLEDGED, UNANSWERED)
    assert result.problems == ([problem] if problem else [])


def test_a_folder_is_compared_with_its_ledger(tmp_path: Path) -> None:
    """Scenario: a lake without percentiles, with rows in memory only and a stray file, and a ledger that says more.

    Guarantee: each of these is a problem of its own.
    """
    store = SpanStore.open(tmp_path)
    store.append(span_batch(1, count=2, received_ns=SystemClock().now_ns()))
    store.commit()
    store.append_table("percentiles", store.read_table("percentiles", tenant=None), first=1, last=1)
    store.close()
    (known,) = {trace for trace, _ in bare_spans(tmp_path)}
    spans = frozenset(span for _, span in bare_spans(tmp_path))
    (tmp_path / "lake" / "spans" / "left.parquet").touch()
    result = audit(tmp_path, Ledger(acknowledged={known: spans, "ff": frozenset({"1"})}), drained=True)
    assert result.problems == [
        "1 acknowledged spans are lost, such as ('ff', '1')",
        "percentiles count 0 spans, 2 are stored",
        "1 files are neither in the table nor due, such as left.parquet",
        "the table percentiles counts 0 of 2 after the drain",
    ]


def test_a_child_that_ends_by_itself_is_an_error(tmp_path: Path) -> None:
    """Scenario: the sidecar cannot start, or does not end. Guarantee: the error has its last words."""
    (tmp_path / "data").write_text("not a folder")
    child = ChildSidecar(tmp_path)
    child.start()
    with pytest.raises(ChildError, match="spanward: "):
        child.wait_until_ready()
    child.stop()
    (tmp_path / "data").unlink()
    child.start()
    child.wait_until_ready()
    with pytest.raises(ChildError, match="has not ended after 0 s"):
        child.wait(0)
