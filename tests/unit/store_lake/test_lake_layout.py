"""The data folder: what is refused, what is made, and who may open it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanward.store import layout
from spanward.store._durable import publish
from spanward.store.clock import ManualClock
from spanward.store.errors import LockedError, StoreError
from spanward.store.layout import intake_folder
from spanward.store.span_store import SpanStore
from tests.unit.store_lake.support import batch, span_ids


def test_lost_identity(store: SpanStore, clock: ManualClock) -> None:
    """meta.json is gone though there is data: a new identity would store everything twice, so opening refuses."""
    store.close()
    (store.data / "meta.json").unlink()
    with pytest.raises(StoreError, match=r"meta\.json is missing though lake/ has data"):
        SpanStore.open(store.data, clock=clock)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "lacks format and app_id"),
        ('{"format": 1, "app_id": ""}', "lacks format and app_id"),
        ('{"format": 2, "app_id": "x"}', "upgrade spanward"),
    ],
)
def test_wrong_identity(data: Path, content: str, message: str) -> None:
    """A meta.json that is malformed or of a newer version is named, and nothing is made."""
    data.mkdir()
    (data / "meta.json").write_text(content)
    with pytest.raises(StoreError, match=message):
        SpanStore.open(data)
    assert [path.name for path in data.iterdir()] == ["meta.json"]


def test_data_folder_is_a_file(data: Path) -> None:
    """The path is a file: StoreError names it."""
    data.write_text("")
    with pytest.raises(StoreError, match=str(data)):
        SpanStore.open(data)


def test_reader_of_nothing(data: Path) -> None:
    """A reader of a folder without data makes nothing."""
    with pytest.raises(StoreError, match="there is no spanward data here"):
        SpanStore.open(data, read_only=True)
    assert not data.exists()


@pytest.mark.parametrize("step", ["_lock", "make_private_folder"])
def test_unwritable_folder(data: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """The disk refuses while the folder is made: one line with path and remedy, and the lock is let go."""

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("spanward.store._opening." + ("FolderLock" if step == "_lock" else step), refuse)
        with pytest.raises(StoreError, match="Permission denied; make it writable"):
            SpanStore.open(data)
    SpanStore.open(data).close()


def test_unwritable_table(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table itself cannot be made."""
    with monkeypatch.context() as patch:
        patch.setattr("spanward.store.delta.make_private_folder", _refuse)
        with pytest.raises(StoreError, match="the table cannot be made"):
            SpanStore.open(data)
    SpanStore.open(data).close()


def test_second_writer(store: SpanStore) -> None:
    """One process writes: a second opening is refused with the first one's pid, also from another process."""
    with pytest.raises(LockedError, match=f"in use by process {os.getpid()}"):
        SpanStore.open(store.data)
    code = "import pathlib, sys, spanward.store.span_store as s; s.SpanStore.open(pathlib.Path(sys.argv[1]))"
    other = subprocess.run([sys.executable, "-c", code, str(store.data)], capture_output=True, text=True, check=False)
    assert "LockedError" in other.stderr
    store.close()
    SpanStore.open(store.data).close()


def test_identity_stays(store: SpanStore, clock: ManualClock) -> None:
    """The app_id is made once and read ever after; different folders have different ones."""
    store.close()
    again = SpanStore.open(store.data, clock=clock)
    other = SpanStore.open(store.data.with_name("other"), clock=clock)
    assert again.app_id == store.app_id != other.app_id
    again.close()
    other.close()


def test_faster_process_wins(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processes make the folder at once: both have the identity of the faster one."""
    real = publish

    def slower(path: Path, content: bytes) -> bool:
        real(path, json.dumps({"format": 1, "app_id": "theirs"}).encode())
        return real(path, content)

    monkeypatch.setattr(layout, "publish", slower)
    assert layout.open_layout(data, create=True).app_id == "theirs"


def test_vanishing_identity(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another program removes meta.json while it is made: that is said."""
    monkeypatch.setattr(layout, "publish", lambda _path, _content: True)
    with pytest.raises(StoreError, match="vanished"):
        layout.open_layout(data, create=True)


def test_damaged_table(store: SpanStore, clock: ManualClock) -> None:
    """The Delta log is damaged: StoreError names the table."""
    store.close()
    for path in (store.data / "lake" / "spans" / "_delta_log").iterdir():
        path.write_text("garbage")
    with pytest.raises(StoreError, match="the table cannot be read"):
        SpanStore.open(store.data, clock=clock)


def test_log_entries_cleaned_up_meanwhile(store: SpanStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delta cleaned up the entries between a reader's version and the newest: the reader opens the table anew."""
    reader = SpanStore.open(store.data, read_only=True, clock=store.clock)
    store.append(batch(1))
    store.commit()
    with monkeypatch.context() as patch:
        patch.setattr("spanward.store.delta.DeltaTable.update_incremental", _refuse)
        assert len(span_ids(reader)) == 3
    reader.close()


def test_moved_folder(store: SpanStore, clock: ManualClock) -> None:
    """A data folder is self-contained: moved elsewhere it opens with everything in it."""
    store.append(batch(1))
    store.commit()
    store.close()
    moved = store.data.with_name("moved")
    shutil.move(store.data, moved)
    again = SpanStore.open(moved, clock=clock)
    assert len(span_ids(again)) == 3
    assert "attributes_str" in again.snapshot().to_table().schema.names
    again.close()


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=40), unique=True, min_size=2, max_size=2))
def test_pipelines_have_their_own_folders(names: list[str]) -> None:
    """Whatever pipelines are called: different folders, each directly under intake/."""
    data = Path("/data")
    first, second = (intake_folder(data, name) for name in names)
    assert first != second
    assert first.parent == second.parent == data / "intake"
    assert first.name not in {"", ".", ".."}


def _refuse(*_args: object) -> None:
    raise OSError(13, "Permission denied")
