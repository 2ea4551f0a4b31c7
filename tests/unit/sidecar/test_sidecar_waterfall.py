"""The waterfall shows every span exactly once, whatever the parents say."""

from __future__ import annotations

import io

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from spanward.sidecar.console.waterfall import arrange, render

IDS = [f"{number:016x}" for number in range(1, 9)]


def table(parents: list[str | None], *, status: str = "unset") -> pa.Table:
    """A trace whose n-th span has the n-th parent."""
    return pa.Table.from_pylist(
        [
            {
                "span_id": IDS[index],
                "parent_span_id": parent,
                "name": f"op{index}",
                "service_name": "s",
                "kind": "server",
                "status_code": status,
                "start_unix_nano": 1_000_000 * index,
                "duration_ns": 500_000,
                "pii": ["email"] if index == 0 else None,
                "quality_violations": ["memory"] if index == 0 else None,
                "classification": "internal",
                "retention": "30d",
            }
            for index, parent in enumerate(parents)
        ],
    )


@given(st.lists(st.sampled_from([*IDS, None, "f" * 16]), min_size=1, max_size=8))
def test_every_span_is_shown_once(parents: list[str | None]) -> None:
    """Scenario: trees, orphans, self-parents and rings. Guarantee: as many lines as spans, each span once."""
    shown = [row.span["span_id"] for row in arrange(table(parents))]
    assert sorted(shown) == sorted(IDS[: len(parents)])


def test_children_stand_under_their_parent() -> None:
    """Scenario: root, child, grandchild. Guarantee: depth follows the parents."""
    rows = arrange(table([None, IDS[0], IDS[1]]))
    assert [row.depth for row in rows] == [0, 1, 2]


def test_the_picture_names_services_marks_and_what_it_left_out() -> None:
    """Scenario: an erroneous trace longer than the limit. Guarantee: marks are shown and the rest is counted."""
    out = Console(file=io.StringIO(), width=160)
    out.print(render("ab" * 16, table([None, IDS[0], IDS[0]], status="error"), limit=2))
    text = out.file.getvalue()  # type: ignore[attr-defined]  # StringIO above
    assert "3 spans, 1 services" in text
    assert "pii:email" in text
    assert "quality:memory" in text
    assert "error" in text
    assert "1 more spans" in text
