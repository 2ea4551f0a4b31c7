"""Compliance records: private, durable, and an audit trail that shows when somebody changed it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spanward.processor.policy.labels import Classification, Retention
from spanward.store.clock import ManualClock
from spanward.store.compliance import ComplianceStore, PendingRemoval
from spanward.store.errors import InvalidRequestError, StoreError
from spanward.store.keyring import Keyring


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "keys")


@pytest.fixture
def records(tmp_path: Path, keyring: Keyring, clock: ManualClock) -> ComplianceStore:
    return ComplianceStore(tmp_path / "compliance.sqlite", keyring, clock=clock)


def trail(records: ComplianceStore) -> None:
    for number in range(4):
        records.append_audit("job", "thing.do", {"number": number})


def tamper(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("UPDATE audit SET details = '{\"number\":9}' WHERE id = 2",), "entry 2 was changed"),
        (("UPDATE audit SET actor = 'nobody' WHERE id = 1",), "entry 1 was changed"),
        (("UPDATE audit SET at_ns = at_ns + 1 WHERE id = 4",), "entry 4 was changed"),
        (("DELETE FROM audit WHERE id = 2",), "entry 2 was changed, removed"),
        (("DELETE FROM audit WHERE id = 4",), "ends after entry 3"),
        (("DELETE FROM audit",), "ends after entry 0"),
        (("DELETE FROM audit WHERE id = 4", "UPDATE audit_head SET entries = 3"), "ends after entry 3"),
        (
            (
                "UPDATE audit SET id = 9 WHERE id = 2",
                "UPDATE audit SET id = 2 WHERE id = 3",
                "UPDATE audit SET id = 3 WHERE id = 9",
            ),
            "entry 2 was changed",
        ),
        (("INSERT INTO audit SELECT 5, at_ns, actor, action, details, digest FROM audit WHERE id = 4",), "entry 5"),
    ],
)
def test_tampering_shows(records: ComplianceStore, tmp_path: Path, change: tuple[str, ...], message: str) -> None:
    """Somebody with the file, but without the keys, changes, removes, reorders or adds entries, or cuts the end."""
    trail(records)
    assert records.verify_audit() == 4
    records.close()
    tamper(tmp_path / "compliance.sqlite", *change)
    with pytest.raises(StoreError, match=message):
        records.verify_audit()
    records.close()


def test_trail_of_other_keys_does_not_verify(records: ComplianceStore, tmp_path: Path, clock: ManualClock) -> None:
    """A whole trail made under another keyring is not this folder's."""
    trail(records)
    records.close()
    other = ComplianceStore(tmp_path / "compliance.sqlite", Keyring.open(tmp_path / "other"), clock=clock)
    with pytest.raises(StoreError, match="entry 1"):
        other.verify_audit()
    other.close()


def test_lost_last_entry_stops_the_trail(records: ComplianceStore, tmp_path: Path) -> None:
    """The last entry is gone: nothing is appended behind the gap, as if nothing had been."""
    trail(records)
    tamper(tmp_path / "compliance.sqlite", "DELETE FROM audit WHERE id = 4")
    with pytest.raises(StoreError, match="lacks entry 4"):
        records.append_audit("job", "thing.do", {})
    records.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(), st.text(), st.dictionaries(st.text(), st.integers() | st.text() | st.none())), max_size=5
    )
)
def test_any_trail_verifies_and_reads_back(
    tmp_path: Path, keyring: Keyring, clock: ManualClock, entries: list[tuple[str, str, dict[str, object]]]
) -> None:
    """Whatever is appended, over restarts too, is there in order and verifies."""
    path = tmp_path / "any.sqlite"
    path.unlink(missing_ok=True)
    for actor, action, details in entries:
        records = ComplianceStore(path, keyring, clock=clock)
        records.append_audit(actor, action, details)
        records.close()
    records = ComplianceStore(path, keyring, clock=clock)
    assert [(entry.actor, entry.action, entry.details) for entry in records.audit()] == entries
    assert [entry.id for entry in records.audit()] == list(range(1, len(entries) + 1))
    assert records.verify_audit() == len(entries)
    records.close()


def test_registrations(records: ComplianceStore, clock: ManualClock) -> None:
    """Labels of an event or a file are kept with who and when, in order, and each leaves an audit entry."""
    one = records.register(
        "event-1", classification="Restricted", retention=365, privacy_tags=["phone", "email", "email"], actor="me"
    )
    clock.advance(seconds=1)
    two = records.register("date=2026-01-01/x.parquet", kind="file", retention="permanent")
    assert (one.id, one.classification, one.retention, one.privacy_tags, one.actor) == (
        1, Classification.RESTRICTED, Retention(365), ("email", "phone"), "me",
    )  # fmt: skip
    assert records.registrations() == [one, two]
    assert records.registrations("event-1") == [one]
    assert records.registrations("event-2") == []
    assert (two.at_ns - one.at_ns, two.kind, two.classification) == (10**9, "file", Classification.INTERNAL)
    assert [entry.action for entry in records.audit()] == ["registration.add"] * 2
    assert [entry.details["privacy_tags"] for entry in records.audit()] == [["email", "phone"], []]
    records.close()


@pytest.mark.parametrize(
    ("subject", "options", "message"),
    [
        ("", {}, "by its id or path"),
        ("e", {"kind": "person"}, "'person'"),
        ("e", {"classification": "secret"}, "classification 'secret' is not one of"),
        ("e", {"retention": "soon"}, "retention 'soon'"),
        ("e", {"retention": 0}, "not within"),
    ],
)
def test_wrong_registration(records: ComplianceStore, subject: str, options: dict[str, str], message: str) -> None:
    """A label that is none is refused with its name, and nothing is recorded."""
    with pytest.raises(InvalidRequestError, match=message):
        records.register(subject, **options)
    assert records.registrations() == []
    assert records.audit() == []
    records.close()


def test_failed_change_leaves_nothing(records: ComplianceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change and its audit entry are one: when the entry cannot be written, neither is there."""
    records.append_audit("a", "b", {})

    def refuse(*_args: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr("spanward.store._audit.AuditSeal.append", refuse)
        with pytest.raises(StoreError, match="disk I/O error"):
            records.register("event")
    assert records.registrations() == []
    assert records.verify_audit() == 1
    records.close()


def test_file_is_private(records: ComplianceStore, tmp_path: Path) -> None:
    """The file and SQLite's journals beside it are readable by the owner only."""
    trail(records)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("compliance.sqlite*")}
    assert modes == dict.fromkeys(modes, 0o600)
    assert "compliance.sqlite-wal" in modes
    records.close()


@pytest.mark.parametrize("content", [b"no database at all, just text" * 40, None])
def test_broken_file(records: ComplianceStore, tmp_path: Path, content: bytes | None) -> None:
    """A file that is no database, or a folder in its place, is named with the remedy."""
    path = tmp_path / "compliance.sqlite"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(StoreError, match=r"compliance\.sqlite: .*; make it readable"):
        records.audit()


def test_newer_format(records: ComplianceStore, tmp_path: Path) -> None:
    """A file of a newer version is left alone."""
    trail(records)
    records.close()
    tamper(tmp_path / "compliance.sqlite", "PRAGMA user_version = 2")
    with pytest.raises(StoreError, match="upgrade spanward"):
        records.audit()


def test_reading_makes_no_file(tmp_path: Path, keyring: Keyring, clock: ManualClock) -> None:
    """A reader of a folder without records finds none and leaves none; beside a writer it reads what is there."""
    path = tmp_path / "compliance.sqlite"
    reader = ComplianceStore(path, keyring, clock=clock, read_only=True)
    assert (reader.registrations(), reader.verify_audit()) == ([], 0)
    assert not path.exists()
    writer = ComplianceStore(path, keyring, clock=clock)
    trail(writer)
    assert reader.verify_audit() == 4
    reader.close()
    writer.close()


def test_two_processes_share_the_file(tmp_path: Path, keyring: Keyring, clock: ManualClock) -> None:
    """Two stores append in turns to one trail: one chain."""
    stores = [ComplianceStore(tmp_path / "compliance.sqlite", keyring, clock=clock) for _ in range(2)]
    for number in range(6):
        stores[number % 2].append_audit("job", "thing.do", {"number": number})
    assert stores[0].verify_audit() == stores[1].verify_audit() == 6
    for store in stores:
        store.close()


def test_pending_removals(records: ComplianceStore) -> None:
    """Files to unlink are remembered by table, the longest waiting first, once each, until they are forgotten."""
    one = PendingRemoval("spans", "a/b.parquet", "a", "expired", 1, 20)
    two = PendingRemoval("spans", "a/c.parquet", "a", "compacted", 1, 10)
    other = PendingRemoval("percentiles", "a/b.parquet", "a", "expired", 1, 5)
    records.schedule_removals([one, two, other])
    records.schedule_removals([one])
    assert records.pending_removals("spans") == [two, one]
    records.forget_removals([two])
    assert records.pending_removals("spans") == [one]
    assert records.pending_removals("percentiles") == [other]
    records.close()
