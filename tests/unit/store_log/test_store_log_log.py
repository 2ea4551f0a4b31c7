"""The intake log: damage, refusing disks, foreign files, locks, and reading while it is written."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanward.store import _segment
from spanward.store._segment import HEADER_BYTES, HEADER_COPY, MAX_PAYLOAD_BYTES, RECORD_OVERHEAD, SegmentHeader
from spanward.store._segment_files import set_aside
from spanward.store.clock import ManualClock
from spanward.store.errors import KeyringError, LockedError, PermanentError, RetryableError, StoreError
from spanward.store.keyring import Keyring
from spanward.store.log import IntakeLog, LogReader
from tests.unit.store_log.conftest import OpenLog
from tests.unit.store_log.support import failing

SMALL = HEADER_BYTES + 300  # three records of 40 bytes a segment
PAYLOAD = 40
RECORD = PAYLOAD + RECORD_OVERHEAD


def payload(number: int) -> bytes:
    return b"%040d" % number


def fill(log: IntakeLog, count: int) -> list[int]:
    return [log.append(payload(number)) for number in range(1, count + 1)]


def read(log: IntakeLog | LogReader, after: int = 0) -> list[int]:
    reader = log.reader() if isinstance(log, IntakeLog) else log
    return [sequence for sequence, _ in reader.records(after)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "lock")


def change(path: Path, offset: int, content: bytes = b"\0") -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(content)


# --- damage -----------------------------------------------------------------------------------------------------------


def test_log_damage_in_the_middle_costs_one_record(open_log: OpenLog, folder: Path) -> None:
    """A byte of the second of three records is bad: the others are read, the loss is reported with file and offset."""
    log = open_log()
    fill(log, 3)
    log.close()
    (path,) = folder.glob("*.log")
    change(path, HEADER_BYTES + RECORD + 50)
    log = open_log()
    (damage,) = log.damage()
    assert (damage.path, damage.offset, damage.length) == (path, HEADER_BYTES + RECORD, RECORD)
    assert "sequence 2 is lost" in str(damage)
    assert read(log) == [1, 3]


def test_log_damage_over_several_records_says_which(open_log: OpenLog, folder: Path) -> None:
    """A run of bad bytes across records 2 to 4: exactly these are lost, and named."""
    log = open_log()
    fill(log, 6)
    log.close()
    (path,) = folder.glob("*.log")
    change(path, HEADER_BYTES + RECORD + 5, b"\xff" * (2 * RECORD))
    log = open_log()
    assert read(log) == [1, 5, 6]
    assert "sequences 2 to 4 are lost" in str(log.damage()[0])


def test_log_inserted_bytes_cost_nothing(open_log: OpenLog, folder: Path) -> None:
    """Garbage between two records is reported and passed over; no record is missing."""
    log = open_log()
    fill(log, 2)
    log.close()
    (path,) = folder.glob("*.log")
    content = path.read_bytes()
    cut = HEADER_BYTES + RECORD
    path.write_bytes(content[:cut] + _segment.MARKER * 3 + content[cut:])
    log = open_log()
    assert read(log) == [1, 2]
    assert "no record is missing" in str(log.damage()[0])


def test_log_a_record_that_stands_twice_is_read_once(open_log: OpenLog, folder: Path) -> None:
    """A block of the file was copied over the next one: a sequence never comes twice."""
    log = open_log()
    fill(log, 3)
    log.close()
    (path,) = folder.glob("*.log")
    change(path, HEADER_BYTES + RECORD, path.read_bytes()[HEADER_BYTES : HEADER_BYTES + RECORD])
    log = open_log()
    assert read(log) == [1, 3]
    assert "sequence 2 is lost" in str(log.damage()[0])


def test_log_a_marker_on_a_window_border_is_found(
    open_log: OpenLog, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching goes window by window: a record that begins anywhere around a border is found."""
    log = open_log()
    fill(log, 3)
    log.close()
    (path,) = folder.glob("*.log")
    change(path, HEADER_BYTES + 3)
    for window in range(9, RECORD + 9):
        monkeypatch.setattr("spanward.store._segment_scan._WINDOW", window)
        assert read(open_copy(path.parent, open_log)) == [2, 3]


def open_copy(folder: Path, open_log: OpenLog) -> IntakeLog:
    copy = folder.with_name(f"copy-{len(list(folder.parent.iterdir()))}")
    shutil.copytree(folder, copy)
    return open_log(copy)


def test_log_damage_at_the_end_never_reuses_a_number(open_log: OpenLog, folder: Path) -> None:
    """The last records are unreadable: nobody knows how many they were, so new numbers start far enough behind."""
    log = open_log()
    fill(log, 3)
    log.close()
    (path,) = folder.glob("*.log")
    change(path, HEADER_BYTES + RECORD, b"\xff" * (2 * RECORD))
    log = open_log()
    assert "the last good sequence is 1" in str(log.damage()[0])
    number = log.append(b"new")
    assert number > 3
    assert read(log) == [1, number]
    assert len(names(folder)) == 2, "a damaged segment is never written to"


def test_log_damage_at_the_end_stays_reported(open_log: OpenLog, folder: Path) -> None:
    """The damage is still reported when the log has gone on behind it."""
    log = open_log()
    fill(log, 3)
    log.close()
    change(next(folder.glob("*.log")), HEADER_BYTES + 2 * RECORD + 3)
    log = open_log()
    number = log.append(b"new")
    log.close()
    log = open_log()
    assert len(log.damage()) == 1
    assert read(log) == [1, 2, number]


@pytest.mark.parametrize("copy", [0, HEADER_COPY])
def test_log_one_damaged_header_copy_costs_nothing(open_log: OpenLog, folder: Path, copy: int) -> None:
    """Either copy of the header serves."""
    log = open_log()
    fill(log, 3)
    log.close()
    change(next(folder.glob("*.log")), copy + 20, b"\xee\xee")
    log = open_log()
    assert read(log) == [1, 2, 3]
    assert "the other one serves" in str(log.damage()[0])


def test_log_both_header_copies_damaged_costs_the_segment(open_log: OpenLog, folder: Path) -> None:
    """The key of one segment is gone: it is reported as a whole, the others are read, and numbers go on behind it."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 8)
    log.close()
    middle = sorted(folder.glob("*.log"))[1]
    for copy in (0, HEADER_COPY):
        change(middle, copy + 20, b"\xee\xee")
    log = open_log(segment_bytes=SMALL)
    assert read(log) == [1, 2, 3, 7, 8]
    assert "its records up to 6 are lost" in str(log.damage()[0])
    assert log.append(b"x") == 9
    log.close()
    reader = LogReader.open(folder, log._keyring)
    assert read(reader) == [1, 2, 3, 7, 8, 9]
    assert "both copies of the header" in str(reader.damage()[0])


def test_log_a_lone_segment_without_a_header_keeps_its_numbers(open_log: OpenLog, folder: Path) -> None:
    """Even when nothing can be decrypted any more, the numbers in the record headers are not used again."""
    log = open_log()
    fill(log, 3)
    log.close()
    (path,) = folder.glob("*.log")
    for copy in (0, HEADER_COPY):
        change(path, copy, b"\0" * 8)
    assert LogReader.open(folder, log._keyring).last_sequence == 3
    log = open_log()
    assert log.append(b"new") == 4


def test_log_an_empty_file_with_a_segment_name_is_reported(open_log: OpenLog, folder: Path) -> None:
    """A file of length 0, as a broken file system leaves them: reported, left alone, its number not used."""
    folder.mkdir(parents=True)
    (folder / f"{7:020d}.log").touch()
    log = open_log()
    assert "no record of it was found" in str(log.damage()[0])
    assert log.append(b"x") == 8


def test_log_a_missing_segment_shows_in_the_numbers(open_log: OpenLog, folder: Path) -> None:
    """Somebody removed a segment from the middle: the gap is reported."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 8)
    log.close()
    sorted(folder.glob("*.log"))[1].unlink()
    log = open_log(segment_bytes=SMALL)
    assert "sequences 4 to 6 are lost" in str(log.damage()[0])
    assert read(log) == [1, 2, 3, 7, 8]


def test_log_tampering_with_a_correct_checksum_is_damage(open_log: OpenLog, folder: Path) -> None:
    """A record sealed under another key has good checksums; it is not taken for a record of this segment."""
    log = open_log()
    fill(log, 3)
    log.close()
    (path,) = folder.glob("*.log")
    forged = _segment.seal(AESGCM(b"k" * 32), 2, payload(9))
    assert len(forged) == RECORD
    change(path, HEADER_BYTES + RECORD, forged)
    log = open_log()
    assert read(log) == [1, 3]
    assert len(log.damage()) == 1


def test_log_damaged_segments_are_set_aside(open_log: OpenLog, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Truncation removes good segments, renames damaged ones, and says so; the next opening has nothing to report."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 7)
    log.close()
    damaged = sorted(folder.glob("*.log"))[1]
    change(damaged, HEADER_BYTES + RECORD + 20, b"\xff")
    log = open_log()
    with caplog.at_level(logging.WARNING):
        log.truncate(7)
    assert names(folder) == [damaged.name + ".damaged", f"{8:020d}.log"]
    assert f"kept as {damaged.name}.damaged" in caplog.text
    log.close()
    log = open_log()
    assert (log.damage(), log.foreign) == ((), ())
    assert log.append(b"x") == 8


def test_log_set_aside_names_do_not_collide(tmp_path: Path) -> None:
    """A name that is taken gets a number."""
    paths = []
    for _ in range(3):
        path = tmp_path / "1.log"
        path.write_text("x")
        paths.append(set_aside(path).name)
    assert paths == ["1.log.damaged", "1.log.damaged.1", "1.log.damaged.2"]


# --- crashes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 7, 8, 39, 40, 41, RECORD - 1])
def test_log_an_unfinished_write_is_cut_off(open_log: OpenLog, folder: Path, kept: int) -> None:
    """The process died with `kept` bytes of a record written: they go, it is said, and the log goes on there."""
    log = open_log()
    fill(log, 3)
    log.close()
    (path,) = folder.glob("*.log")
    os.truncate(path, HEADER_BYTES + 2 * RECORD + kept)
    log = open_log()
    assert log.damage() == ()
    assert log.torn is not None
    assert (log.torn.offset, log.torn.length) == (HEADER_BYTES + 2 * RECORD, kept)
    assert path.stat().st_size == HEADER_BYTES + 2 * RECORD
    assert log.append(b"again") == 3
    assert read(log) == [1, 2, 3]


def test_log_leftovers_of_a_crash_are_tidied(open_log: OpenLog, folder: Path) -> None:
    """A half-made segment may be a second name of a real one: it is unlinked, never overwritten."""
    log = open_log()
    fill(log, 2)
    log.close()
    (path,) = folder.glob("*.log")
    os.link(path, folder / f".{path.name}.12.abcdef01.tmp")
    (folder / f"{9:020d}.log.removed").write_bytes(b"x" * 5000)
    log = open_log()
    assert names(folder) == [path.name]
    assert read(log) == [1, 2]
    assert log.foreign == ()


def test_log_foreign_files_are_left_alone_and_named(
    open_log: OpenLog, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Notes, folders with a segment's name, other logs: untouched, reported."""
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    (folder / f"{5:020d}.log").mkdir()
    with caplog.at_level(logging.WARNING):
        log = open_log()
    log.append(b"x")
    log.truncate(1)
    assert {path.name for path in log.foreign} == {"notes.txt", f"{5:020d}.log"}
    assert "notes.txt does not belong" in caplog.text
    assert (folder / "notes.txt").read_text() == "mine"


def test_log_sequences_survive_an_emptied_log(open_log: OpenLog) -> None:
    """Everything was truncated, the process restarted: numbers go on."""
    log = open_log()
    fill(log, 5)
    log.truncate(5)
    assert read(log) == []
    log.close()
    log = open_log()
    assert log.last_sequence == 5
    assert log.append(b"x") == 6


def test_log_sequences_survive_an_emptied_folder(open_log: OpenLog, folder: Path) -> None:
    """Somebody deleted the files: who has consumed up to 40 reserves these numbers."""
    log = open_log()
    fill(log, 3)
    log.reserve(40)
    assert log.append(b"x") == 41
    log.reserve(20)
    assert log.append(b"y") == 42
    assert read(log) == [1, 2, 3, 41, 42]
    log.close()
    log = open_log()
    assert log.damage() == (), "numbers that were passed over are not missing records"
    assert log.append(b"z") == 43


# --- a disk that refuses ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "code"), [("write", errno.ENOSPC), ("write", errno.EIO), ("fsync", errno.EIO)])
def test_log_a_refused_append_leaves_nothing(open_log: OpenLog, folder: Path, call: str, code: int) -> None:
    """Write or fsync fails: RetryableError that names the folder, nothing readable now or after a restart."""
    log = open_log()
    fill(log, 2)
    with failing(call, code), pytest.raises(RetryableError, match=str(folder)):
        log.append(b"refused")
    assert read(log) == [1, 2]
    number = log.append(b"taken")
    assert number > 3, "the refused number is spent"
    log.close()
    log = open_log()
    assert read(log) == [1, 2, number]
    assert log.damage() == ()


def test_log_a_failed_fsync_is_not_trusted_again(open_log: OpenLog, folder: Path) -> None:
    """After a failed fsync the segment is left for good: the next record goes to a fresh one."""
    log = open_log()
    fill(log, 2)
    with failing("fsync", errno.EIO), pytest.raises(RetryableError):
        log.append(b"refused")
    log.append(b"taken")
    assert len(names(folder)) == 2
    assert max(folder.glob("*.log")).stat().st_size > HEADER_BYTES


def test_log_a_refused_record_that_cannot_be_cut_is_void(open_log: OpenLog, folder: Path, keyring: Keyring) -> None:
    """Fsync fails, and so does cutting back: the whole record stands in the file, and is never read."""
    log = open_log()
    fill(log, 2)
    with failing("fsync", errno.EIO), failing("ftruncate", errno.EIO), pytest.raises(RetryableError):
        log.append(payload(3))
    number = log.append(b"taken")
    assert min(folder.glob("*.log")).stat().st_size == HEADER_BYTES + 3 * RECORD
    assert read(log) == [1, 2, number]
    assert read(LogReader.open(folder, keyring)) == [1, 2, number]
    log.close()
    log = open_log()
    assert read(log) == [1, 2, number]
    assert log.damage() == ()


def test_log_short_writes_are_continued(open_log: OpenLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel takes seven bytes at a time: records are whole."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, content: real(descriptor, bytes(content[:7])))
    log = open_log()
    fill(log, 2)
    monkeypatch.undo()
    assert [content for _, content in log.reader().records(0)] == [payload(1), payload(2)]


def test_log_a_segment_that_cannot_be_begun_is_retried(open_log: OpenLog, folder: Path) -> None:
    """The first segment cannot be made, then it can: no litter, no collision of names."""
    log = open_log()
    with failing("link", errno.ENOSPC), pytest.raises(RetryableError):
        log.append(b"x")
    with failing("fsync", errno.EIO, after=1), pytest.raises(RetryableError):
        log.append(b"x")  # the file is there, the folder's sync fails
    number = log.append(b"y")
    assert read(log) == [number]
    assert len(names(folder)) == 1


def test_log_rolling_on_a_full_disk_does_not_break_numbers(open_log: OpenLog) -> None:
    """No new segment can be made: roll says so, and later records are read without a gap being reported."""
    log = open_log()
    fill(log, 2)
    with failing("link", errno.ENOSPC), pytest.raises(RetryableError, match="free disk space"):
        log.roll()
    number = log.append(b"x")
    assert read(log) == [1, 2, number]
    log.close()
    assert open_log().damage() == ()


def test_log_truncating_on_a_full_disk_frees_what_it_can(open_log: OpenLog, folder: Path) -> None:
    """Old segments go first; the newest stays, since it remembers the sequence, until another one can be made."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 8)
    with failing("link", errno.ENOSPC), pytest.raises(RetryableError, match="cannot be truncated"):
        log.truncate(8)
    assert names(folder) == [f"{7:020d}.log"]
    log.truncate(8)
    (left,) = names(folder)
    log.close()
    log = open_log()
    assert log.last_sequence == 8
    assert int(left.removesuffix(".log")) > 8


def test_log_too_large_a_record_is_refused_for_good(open_log: OpenLog) -> None:
    """A payload over the bound is a PermanentError; nothing is written."""

    class Huge(bytes):
        __slots__ = ()

        def __len__(self) -> int:
            return MAX_PAYLOAD_BYTES + 1

    log = open_log()
    with pytest.raises(PermanentError, match="send less"):
        log.append(Huge())
    assert log.size_bytes == 0


def test_log_after_close_everything_is_refused(open_log: OpenLog) -> None:
    """A closed log takes nothing; closing twice is harmless; what was there can still be read."""
    log = open_log()
    fill(log, 1)
    reader = log.reader()
    log.close()
    log.close()
    for call in (lambda: log.append(b"x"), log.roll, lambda: log.truncate(1)):
        with pytest.raises(RetryableError, match="closed"):
            call()
    assert read(reader) == [1]


def test_log_an_unusable_folder_is_a_store_error(tmp_path: Path, keyring: Keyring, clock: ManualClock) -> None:
    """A file in the folder's place, and a disk that fails while the log is examined: the path is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        IntakeLog.open(tmp_path / "file" / "log", keyring, clock=clock)
    log = IntakeLog.open(tmp_path / "log", keyring, clock=clock)
    log.append(b"x")
    log.close()
    with failing("pread", errno.EIO), pytest.raises(StoreError, match="Input/output"):
        IntakeLog.open(tmp_path / "log", keyring, clock=clock)
    IntakeLog.open(tmp_path / "log", keyring, clock=clock).close()  # the lock was let go


# --- keys, versions, locks --------------------------------------------------------------------------------------------


def test_log_another_keyring_is_refused(open_log: OpenLog, folder: Path, tmp_path: Path, clock: ManualClock) -> None:
    """A log written under another keyring is not damaged: opening it says which file and what is wrong."""
    log = open_log()
    fill(log, 1)
    log.close()
    other = Keyring.open(tmp_path / "other")
    with pytest.raises(KeyringError, match=r"\.log: .*restore the keyring"):
        IntakeLog.open(folder, other, clock=clock)
    with pytest.raises(KeyringError):
        read(LogReader.open(folder, other))


def test_log_a_newer_format_is_refused(open_log: OpenLog, folder: Path, keyring: Keyring) -> None:
    """A segment of a later version is not guessed at, nor changed."""
    folder.mkdir(parents=True)
    header = SegmentHeader(1, 0, 0, keyring.wrap(b"k" * 32), version=2)
    (folder / f"{1:020d}.log").write_bytes(header.encode())
    with pytest.raises(StoreError, match="upgrade"):
        open_log()


def test_log_a_second_writer_is_told_who_holds_it(open_log: OpenLog, folder: Path) -> None:
    """The folder is locked: LockedError names the process; after close it is free."""
    log = open_log()
    with pytest.raises(LockedError, match=f"process {os.getpid()}"):
        open_log()
    log.close()
    open_log()


def test_log_the_lock_of_a_killed_process_is_free(
    open_log: OpenLog, folder: Path, keyring: Keyring, tmp_path: Path
) -> None:
    """Another process holds the log, and its pid is named; when it is killed, the log opens and has its record."""
    program = (
        "import sys, pathlib, os\n"
        "from spanward.store.keyring import Keyring\n"
        "from spanward.store.log import IntakeLog\n"
        "from spanward.store.clock import SystemClock\n"
        "keyring = Keyring.open(pathlib.Path(sys.argv[2]))\n"
        "log = IntakeLog.open(pathlib.Path(sys.argv[1]), keyring, clock=SystemClock())\n"
        "log.append(b'theirs'); print('ready', flush=True); sys.stdin.read()\n"
        "assert 'pyarrow' not in sys.modules\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder), str(tmp_path / "keys")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with pytest.raises(LockedError, match=f"process {process.pid}"):
            open_log()
        assert [content for _, content in LogReader.open(folder, keyring).records(0)] == [b"theirs"]
        process.kill()
    assert read(open_log()) == [1]


def test_log_needs_no_arrow() -> None:
    """The log and the keyring work in an application that has no pyarrow."""
    program = "import sys, spanward.store.log, spanward.store.keyring; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_log_nothing_lies_in_the_clear(open_log: OpenLog, folder: Path) -> None:
    """No file of the log holds a payload's bytes."""
    log = open_log()
    log.append(b"jane.doe@example.com" * 10)
    assert all(b"jane.doe" not in path.read_bytes() for path in folder.iterdir())


# --- reading and truncating -------------------------------------------------------------------------------------------


def test_log_reading_from_anywhere(open_log: OpenLog) -> None:
    """`records(after)` gives everything above `after`, over segment borders."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 10)
    for after in range(12):
        assert read(log, after) == list(range(after + 1, 11))


def test_log_readers_elsewhere_follow_the_writer(open_log: OpenLog, folder: Path, keyring: Keyring) -> None:
    """A reader of another process sees new records and segments, and is not disturbed by removed ones."""
    reader = LogReader.open(folder, keyring)
    assert read(reader) == []
    assert reader.last_sequence == 0
    log = open_log(segment_bytes=SMALL)
    assert reader.last_sequence == 0
    fill(log, 4)
    assert (read(reader), reader.last_sequence) == ([1, 2, 3, 4], 4)
    log.truncate(3)
    assert (read(reader), reader.last_sequence) == ([4], 4)
    log.truncate(4)
    assert (read(reader), reader.last_sequence) == ([], 4)


def test_log_a_segment_that_vanishes_while_it_is_read(
    open_log: OpenLog, folder: Path, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Segments are removed between listing and opening: the reader lists anew and goes on with what is there."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 9)
    records = LogReader.open(folder, keyring).records(0)
    assert next(records)[0] == 1
    log.truncate(6)
    assert [sequence for sequence, _ in records] == [2, 3, 7, 8, 9], "the open file is read to its end"
    real = os.open

    def vanish(path: str | Path, *arguments: int) -> int:
        if str(path).endswith(f"{7:020d}.log"):
            log.truncate(9)
        return real(path, *arguments)

    monkeypatch.setattr(os, "open", vanish)
    reader = LogReader.open(folder, keyring)
    assert read(reader) == []
    log.append(b"x")
    assert reader.last_sequence == 10


def test_log_a_record_in_flight_is_the_end_for_now(open_log: OpenLog, folder: Path, keyring: Keyring) -> None:
    """Another process reads while a record is half-written: no damage is noted, and later the record is there."""
    log = open_log()
    fill(log, 2)
    path = next(folder.glob("*.log"))
    whole = path.read_bytes()
    reader = LogReader.open(folder, keyring)
    for length in range(len(whole) - RECORD, len(whole)):
        os.truncate(path, length)
        assert read(reader) == [1]
        path.write_bytes(whole)
    path.write_bytes(whole[:-20] + b"\0" * 20)  # its length is there before its bytes
    assert read(reader) == [1]
    path.write_bytes(whole)
    assert read(reader) == [1, 2]
    assert reader.damage() == ()


def test_log_readers_note_damage_once(
    open_log: OpenLog, folder: Path, keyring: Keyring, caplog: pytest.LogCaptureFixture
) -> None:
    """Damage that comes while the log is open is passed over, logged once, and kept."""
    log = open_log()
    fill(log, 3)
    change(next(folder.glob("*.log")), HEADER_BYTES + RECORD + 45, b"\xff")
    reader = log.reader()
    with caplog.at_level(logging.ERROR):
        assert read(reader) == [1, 3]
        assert read(reader) == [1, 3]
    assert len(reader.damage()) == len(caplog.records) == 1


def test_log_a_folder_that_cannot_be_read_is_named(open_log: OpenLog, folder: Path, keyring: Keyring) -> None:
    """A disk that fails under a reader: StoreError with the path."""
    log = open_log()
    fill(log, 1)
    reader = LogReader.open(folder, keyring)
    with failing("listdir", errno.EACCES), pytest.raises(StoreError, match=str(folder)):
        read(reader)
    for look in (lambda: read(reader), lambda: reader.last_sequence):
        with failing("pread", errno.EIO), pytest.raises(StoreError, match=r"\.log cannot be read"):
            look()


def test_log_truncate_removes_whole_segments_only(open_log: OpenLog, folder: Path) -> None:
    """Only segments all of whose records are committed go; `reclaimable` tells beforehand."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 8)
    assert log.reclaimable(2).through == 0
    log.truncate(2)
    assert read(log) == list(range(1, 9))
    assert (log.reclaimable(5).through, log.reclaimable(5).record_bytes) == (3, 3 * RECORD)
    log.truncate(5)
    assert read(log) == list(range(4, 9))
    assert log.reclaimable(8).through == 8
    log.truncate(8)
    log.truncate(8)
    assert read(log) == []
    assert names(folder) == [f"{9:020d}.log"], "one empty segment remembers the sequence"
    assert log.reclaimable(8).through == 0


def test_log_a_removed_segment_takes_its_key_along(open_log: OpenLog, folder: Path, tmp_path: Path) -> None:
    """The wrapped key is overwritten before the file goes: a hard link to it holds no header any more."""
    log = open_log()
    fill(log, 1)
    path = next(folder.glob("*.log"))
    os.link(path, tmp_path / "kept")
    header = path.read_bytes()[:HEADER_BYTES]
    log.truncate(1)
    left = (tmp_path / "kept").read_bytes()
    assert _segment.decode_header(left) == (None, (0, HEADER_COPY))
    assert left[:100] != header[:100]


def test_log_a_segment_that_is_gone_already_can_be_truncated(open_log: OpenLog, folder: Path) -> None:
    """Somebody removed a segment under the running log: truncating it is no error."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 5)
    min(folder.glob("*.log")).unlink()
    log.truncate(3)
    assert read(log) == [4, 5]


def test_log_a_segment_that_cannot_be_removed_is_tried_again(open_log: OpenLog, folder: Path) -> None:
    """Removing fails half-way: it is said, and opening again finishes it."""
    log = open_log(segment_bytes=SMALL)
    fill(log, 5)
    with failing("fsync", errno.EIO), pytest.raises(RetryableError):
        log.truncate(3)
    log.close()
    log = open_log(segment_bytes=SMALL)
    assert read(log) == [4, 5]
    assert len(names(folder)) == 1


def test_log_records_larger_than_a_segment_get_their_own(open_log: OpenLog, folder: Path) -> None:
    """The segment size is a threshold, not a bound on records."""
    log = open_log(segment_bytes=SMALL)
    for _ in range(3):
        log.append(b"x" * 2000)
    assert len(names(folder)) == 3
    assert [len(content) for _, content in log.reader().records(0)] == [2000] * 3
    assert log.size_bytes == sum(path.stat().st_size for path in folder.glob("*.log"))


def test_log_bytes_that_come_back_are_read_again(open_log: OpenLog, folder: Path) -> None:
    """The log's end was unreadable at one start and is whole at the next: nothing acknowledged passes for void."""
    log = open_log()
    fill(log, 3)
    log.close()
    path = next(folder.glob("*.log"))
    whole = path.read_bytes()
    change(path, HEADER_BYTES + RECORD + 45, b"\xff" * RECORD)
    log = open_log()
    number = log.append(b"new")
    assert read(log) == [1, number]
    log.close()
    path.write_bytes(whole)
    log = open_log()
    assert read(log) == [1, 2, 3, number]
    assert "if used" in str(log.damage()[0])
