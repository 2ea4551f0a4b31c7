"""Export into a file and back."""

from __future__ import annotations

import datetime as dt
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from spanward.processor.policy.labels import PERMANENT, Classification
from spanward.processor.policy.span import EventRecord, LinkRecord, Verdict
from spanward.store.errors import InvalidRequestError, PermanentError
from spanward.store.export import FORMATS, export, read_export, row_lines
from spanward.store.otlp import to_traces_data
from spanward.store.schema import PERCENTILES, SPANS
from tests.unit.reading.support import MemoryStore, span


def store() -> MemoryStore:
    """Spans that use every kind of column, one of them empty of all that is optional."""
    rich = span(
        1,
        1,
        attributes={"k": 'a "quote"', "@k": 1, "f": float("inf"), "b": True, "j": [b"x", None], "http.route": "/ü"},
        events=[EventRecord(7, "e", {"q": 1.5})],
        links=[LinkRecord("ab" * 16, "cd" * 8, "a=b", {"@bytes": "x"}, 1, 3)],
        trace_state="a=b",
        status_message="no\nroom",
        verdict=Verdict(Classification.RESTRICTED, PERMANENT, ("email",), ("k1:ab",), 0.5, ("range",)),
    )
    return MemoryStore(default=[rich, span(2, 1, service=None, start=-1), span(2, 2)], acme=[span(3, 1)])


def lines_of(table: pa.Table) -> Counter[str]:
    return Counter(row_lines(table))


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    """Scenario: `csv`. Guarantee: the formats that exist are named, and no file is made."""
    with pytest.raises(InvalidRequestError, match=r"'csv'; use one of jsonl\.zst, parquet"):
        export(store(), tmp_path / "out", format="csv")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
def test_an_existing_file_is_kept_unless_forced(tmp_path: Path, form: str) -> None:
    """Scenario: the name is taken. Guarantee: refused and untouched; replaced by force; never a partial file beside."""
    path = tmp_path / "out"
    path.write_text("precious")
    with pytest.raises(PermanentError, match="exists; choose another name"):
        export(store(), path, format=form)
    assert path.read_text() == "precious"
    assert export(store(), path, format=form, force=True) == 3
    assert list(tmp_path.iterdir()) == [path]
    assert read_export(path).num_rows == 3


def test_a_name_taken_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    """Scenario: another process makes the file while this one writes. Guarantee: refused, the other's file stays."""
    path = tmp_path / "out"
    with pytest.raises(PermanentError, match="exists"):
        export(store(), path, progress=lambda _done, _total: _write_theirs(path))
    assert path.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [path]


def _write_theirs(path: Path) -> None:
    path.write_text("theirs")


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """Scenario: the folder does not exist. Guarantee: one line with path and remedy."""
    with pytest.raises(PermanentError, match=r"nowhere.*cannot be written: No such file.*choose a folder"):
        export(store(), tmp_path / "nowhere" / "out")


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenario: the disk refuses at the end. Guarantee: an error, and neither file nor remains."""

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PermanentError, match="No space left on device"):
        export(store(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "where",
    [
        "1=1) UNION ALL (SELECT * REPLACE ('x' AS date) FROM spans",
        "nonsense",
        "1=1) UNION ALL (SELECT * FROM read_csv('/etc/passwd')",
        "name = 'x'; DROP TABLE spans",
        "(",
    ],
)
def test_a_bad_condition_is_refused(tmp_path: Path, where: str) -> None:
    """Scenario: wrong or hostile SQL as the condition. Guarantee: refused in one line, no file."""
    with pytest.raises(InvalidRequestError, match=r"^SQL") as told:
        export(store(), tmp_path / "out", where=where)
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMATS)
def test_every_column_comes_back(tmp_path: Path, form: str) -> None:
    """Scenario: spans with every kind of value. Guarantee: schema and cells equal, in a file only its owner reads."""
    path = tmp_path / "out"
    seen: list[tuple[int, int]] = []
    assert export(store(), path, format=form, progress=lambda done, total: seen.append((done, total))) == 3
    back = read_export(path)
    stored = store().snapshot().rows
    assert back.schema.equals(SPANS)
    assert lines_of(back) == lines_of(stored)
    assert to_traces_data(back) == to_traces_data(stored)
    assert path.stat().st_mode & 0o777 == 0o600
    assert seen[-1] == (3, 3)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("where", "count"), [("name = 'GET /' -- all", 3), ("service_name IS NULL", 1), ("false", 0)])
def test_a_condition_chooses(tmp_path: Path, form: str, where: str, count: int) -> None:
    """Scenario: an SQL condition, also one that nothing meets. Guarantee: just these spans, schema unchanged."""
    assert export(store(), tmp_path / "out", format=form, where=where) == count
    back = read_export(tmp_path / "out")
    assert (back.num_rows, back.schema.equals(SPANS)) == (count, True)


def test_lines_are_plain_json(tmp_path: Path) -> None:
    """Scenario: another tool reads the lines. Guarantee: objects with readable times and maps."""
    export(store(), tmp_path / "out", where="trace_state IS NOT NULL")
    with zstandard.open(tmp_path / "out", "rt", encoding="utf-8") as lines:
        (row,) = [json.loads(line) for line in lines]
    assert row["start_time"] == "2026-01-01 00:00:00.000000Z"
    assert row["date"] == "2026-01-01"
    assert row["attributes_str"] == {"k": 'a "quote"'}
    assert row["attributes_double"] == {"f": {"@double": "Infinity"}}
    assert (row["pii"], row["expires_on"], row["events"][0]["name"]) == (["email"], None, "e")


def test_lines_of_any_schema(tmp_path: Path) -> None:
    """Scenario: a derived table with lists of numbers, and nulls in nested columns. Guarantee: each row as it is."""
    row: dict[str, Any] = dict.fromkeys(PERCENTILES.names, 0)
    row |= dict.fromkeys(("tenant", "service_name", "name", "kind", "status_code", "app_id"), "x")
    day = dt.date(2026, 1, 1)
    row |= {"date": day, "minute": dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "bucket_index": [1, 2], "bucket_count": []}
    (line,) = row_lines(pa.Table.from_pylist([row], schema=PERCENTILES))
    assert json.loads(line)["bucket_index"] == [1, 2]
    nested = pa.table({"m": pa.array([None, [("k", None)]], pa.map_(pa.string(), pa.int64())), "l": [[1], None]})
    assert list(row_lines(nested)) == ['{"m":null,"l":[1]}', '{"m":{"k":null},"l":null}']


@pytest.mark.parametrize("form", FORMATS)
def test_a_cut_file_is_damaged(tmp_path: Path, form: str) -> None:
    """Scenario: the copy of an export broke off, anywhere. Guarantee: refused, never fewer spans without a word."""
    path = tmp_path / "out"
    export(store(), path, format=form)
    whole = path.read_bytes()
    for size in (0, 3, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InvalidRequestError, match="is not an export, or is damaged"):
            read_export(path)


@pytest.mark.parametrize(
    "lines",
    [
        "[]",
        "{",
        '{"no_such_column":1}',
        '{"trace_id":"x"}',
        '{"flags":"x"}',
        '{"date":"yesterday"}',
        '{"attributes_str":["x"]}',
        "\xff",
    ],
)
def test_foreign_lines_are_refused(tmp_path: Path, lines: str) -> None:
    """Scenario: zstd of something else. Guarantee: one line that names the file."""
    path = tmp_path / "out"
    path.write_bytes(zstandard.compress(lines.encode("latin-1")))
    with pytest.raises(InvalidRequestError, match="out is not an export") as told:
        read_export(path)
    assert "\n" not in str(told.value)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    """Scenario: a missing file, a text, a Parquet of other columns. Guarantee: refused by name."""
    with pytest.raises(PermanentError, match="cannot be read: No such file"):
        read_export(tmp_path / "missing")
    (tmp_path / "text").write_text("hello")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other")
    for name in ("text", "other"):
        with pytest.raises(InvalidRequestError, match=f"{name} is not an export"):
            read_export(tmp_path / name)
