"""The keyring: what it refuses, what it creates, what it destroys."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import threading
from pathlib import Path

import pytest

from spanward.store._key_wrap import wrap_key
from spanward.store.errors import KeyringError
from spanward.store.keyring import Keyring

PARTITION = "date=2026-11-21/retention=30d/classification=internal"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_keyring_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """Any right of group or world: the error names the file and the command that mends it."""
    Keyring.open(tmp_path)
    path = tmp_path / "keyring.json"
    path.chmod(mode)
    with pytest.raises(KeyringError, match=f"chmod 600 {path}"):
        Keyring.open(tmp_path)


def test_a_folder_that_others_can_change_is_refused(tmp_path: Path) -> None:
    """Whoever can write to the folder can put another keyring there."""
    Keyring.open(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o777)
    with pytest.raises(KeyringError, match="chmod 700"):
        Keyring.open(tmp_path / "keys")


def test_a_missing_keyring_beside_data_is_never_replaced(tmp_path: Path, keyring: Keyring) -> None:
    """keyring.json is gone, data keys are there: a new one would make the data unreadable for good."""
    keyring.data_key(PARTITION, create=True)
    (tmp_path / "keys" / "keyring.json").unlink()
    with pytest.raises(KeyringError, match="restore it from a backup"):
        Keyring.open(tmp_path / "keys")
    assert not (tmp_path / "keys" / "keyring.json").exists()


def test_a_missing_keyring_is_not_made_unasked(tmp_path: Path) -> None:
    """A reader that only looks must not leave keys behind."""
    with pytest.raises(KeyringError, match="is missing"):
        Keyring.open(tmp_path / "keys", create=False)
    assert not (tmp_path / "keys").exists()


def damaged_keyrings() -> dict[str, object]:
    """Contents that are no keyring, by what is wrong with them."""
    key = "A" * 43 + "="
    good = {
        "format": 1,
        "master_keys": [{"id": "m1", "key": key}],
        "hash_keys": [{"id": "k1", "key": key}],
        "digest_key": key,
    }
    return {
        "a list": [],
        "a number": 7,
        "a newer format": {**good, "format": 2},
        "no master key": {**good, "master_keys": []},
        "no hash key": {**good, "hash_keys": []},
        "a short key": {**good, "digest_key": "AAAA"},
        "no base64": {**good, "digest_key": "!" * 44},
        "an id with a colon": {**good, "hash_keys": [{"id": "k:1", "key": key}]},
        "an id that is a number": {**good, "master_keys": [{"id": 1, "key": key}]},
        "no digest key": {name: value for name, value in good.items() if name != "digest_key"},
    }


@pytest.mark.parametrize("content", damaged_keyrings().values(), ids=damaged_keyrings().keys())
def test_a_malformed_keyring_is_named_and_not_shown(tmp_path: Path, content: object) -> None:
    """Whatever is wrong with it, the error names the file and quotes nothing of it."""
    path = tmp_path / "keyring.json"
    path.write_text(json.dumps(content))
    path.chmod(0o600)
    with pytest.raises(KeyringError, match="is not a keyring") as caught:
        Keyring.open(tmp_path)
    assert "AAAA" not in str(caught.value)


def test_a_keyring_that_is_not_text_is_malformed(tmp_path: Path) -> None:
    """Bytes that are no UTF-8 give the same error, not a traceback."""
    path = tmp_path / "keyring.json"
    path.write_bytes(b"\xff\xfe\x00")
    path.chmod(0o600)
    with pytest.raises(KeyringError, match="is not a keyring"):
        Keyring.open(tmp_path)


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    """keyring.json is a folder: an error, not a traceback."""
    (tmp_path / "keyring.json").mkdir(mode=0o700)
    with pytest.raises(KeyringError, match="is not a file"):
        Keyring.open(tmp_path)


def test_a_keyring_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    """The keys folder's place is taken by a file."""
    (tmp_path / "keys").write_text("")
    with pytest.raises(KeyringError, match=r"keyring\.json"):
        Keyring.open(tmp_path / "keys")


def test_another_master_key_does_not_unwrap(tmp_path: Path, keyring: Keyring) -> None:
    """A data key copied into another data folder is refused, and so is a wrapped key."""
    keyring.data_key(PARTITION, create=True)
    other = Keyring.open(tmp_path / "other")
    other.data_key("some", create=True)
    (source,) = (tmp_path / "keys" / "data").glob("date*")
    (tmp_path / "other" / "data" / source.name).write_bytes(source.read_bytes())
    with pytest.raises(KeyringError, match="restore the keyring that belongs here"):
        other.data_key(PARTITION, create=True)
    with pytest.raises(KeyringError, match="does not unwrap"):
        other.unwrap(keyring.wrap(b"k" * 32))


@pytest.mark.parametrize("cut", [0, 1, 3, 20, 40])
def test_a_wrapped_key_that_is_cut_short_is_refused(keyring: Keyring, cut: int) -> None:
    """Any beginning of a wrapped key is an error, never a key."""
    with pytest.raises(KeyringError):
        keyring.unwrap(keyring.wrap(b"k" * 32)[:cut])


def test_a_key_under_an_unknown_master_key_says_which(keyring: Keyring) -> None:
    """The keyring lacks the master key that the wrapped key names."""
    wrapped = wrap_key(b"k" * 32, b"spanward wrapped key", master_id="m9", master_key=b"m" * 32)
    with pytest.raises(KeyringError, match="'m9'"):
        keyring.unwrap(wrapped)


def test_a_data_key_does_not_pass_for_another(tmp_path: Path, keyring: Keyring) -> None:
    """The name is bound to the key: renaming a key file does not make it another partition's key."""
    keyring.data_key("a", create=True)
    data = tmp_path / "keys" / "data"
    (data / "a.key").rename(data / "b.key")
    with pytest.raises(KeyringError, match=r"b\.key"):
        keyring.data_key("b", create=True)


def test_a_data_key_that_is_not_there_is_not_made_unasked(keyring: Keyring) -> None:
    """Reading must not make a new key in place of a destroyed one."""
    with pytest.raises(KeyringError, match="was destroyed, or never made"):
        keyring.data_key(PARTITION, create=False)


def test_an_empty_name_is_refused(keyring: Keyring) -> None:
    """A data key has a name."""
    with pytest.raises(KeyringError, match="needs a name"):
        keyring.data_key("", create=True)


def test_a_disk_that_refuses_is_a_keyring_error(tmp_path: Path, keyring: Keyring) -> None:
    """OSErrors are translated: making, reading and destroying name the path."""
    (tmp_path / "keys" / "data").write_text("in the way")
    with pytest.raises(KeyringError, match="data"):
        keyring.data_key(PARTITION, create=True)
    with pytest.raises(KeyringError, match="cannot be destroyed"):
        keyring.destroy(PARTITION)


def test_keys_survive_reopening(tmp_path: Path, keyring: Keyring) -> None:
    """All keys are the same in the next process."""
    key = keyring.data_key(PARTITION, create=True)
    again = Keyring.open(tmp_path / "keys", create=False)
    assert again.data_key(PARTITION, create=False) == key
    assert again.hash_keys() == keyring.hash_keys()
    assert again.digest_key() == keyring.digest_key()
    assert again.unwrap(keyring.wrap(b"x" * 32)) == b"x" * 32


def test_keys_are_distinct_and_files_private(tmp_path: Path, keyring: Keyring) -> None:
    """No two keys are equal; files are 0600 and folders 0700 whatever the umask."""
    old = os.umask(0)
    try:
        keys = {keyring.data_key(name, create=True) for name in ("a", "A", "a/b", "a%2Fb", "x" * 300, "x" * 301)}
        own = Keyring.open(tmp_path / "open-umask")
    finally:
        os.umask(old)
    keys |= {keyring.digest_key(), keyring.hash_keys()[0].secret, own.digest_key()}
    assert len(keys) == 9
    assert all(len(key) == 32 for key in keys)
    for path in tmp_path.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_no_key_lies_in_the_clear_or_in_repr(tmp_path: Path, keyring: Keyring) -> None:
    """A data key's file does not hold the key; printing a hash key does not show it."""
    key = keyring.data_key(PARTITION, create=True)
    assert all(key not in path.read_bytes() for path in (tmp_path / "keys" / "data").iterdir())
    assert repr(keyring.hash_keys()[0]) == "HashKey(id='k1')"
    assert keyring.hash_keys()[0].id == "k1"


def test_a_destroyed_key_is_gone_for_everyone(tmp_path: Path, keyring: Keyring) -> None:
    """Destroying removes the only copy, also from the caches of other processes; a second time says there was none."""
    other = Keyring.open(tmp_path / "keys")
    key = keyring.data_key(PARTITION, create=True)
    assert other.data_key(PARTITION, create=False) == key
    assert keyring.destroy(PARTITION)
    assert not keyring.destroy(PARTITION)
    for ring in (keyring, other):
        with pytest.raises(KeyringError, match="was destroyed"):
            ring.data_key(PARTITION, create=False)
    assert keyring.data_key(PARTITION, create=True) != key


def _open_and_send(folder: Path, results: multiprocessing.SimpleQueue[bytes]) -> None:
    ring = Keyring.open(folder)
    results.put(ring.digest_key() + ring.data_key(PARTITION, create=True))


def test_processes_that_race_get_the_same_keys(tmp_path: Path) -> None:
    """Four processes open a new folder at once: one keyring and one data key come of it, and no litter."""
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.SimpleQueue[bytes] = context.SimpleQueue()
    processes = [context.Process(target=_open_and_send, args=(tmp_path / "keys", results)) for _ in range(4)]
    for process in processes:
        process.start()
    answers = {results.get() for _ in processes}
    for process in processes:
        process.join()
    assert len(answers) == 1
    assert {path.name for path in (tmp_path / "keys").iterdir()} == {"keyring.json", "data"}


def test_threads_that_race_get_the_same_key(keyring: Keyring) -> None:
    """Eight threads ask for a new key at once: all get the same."""
    keys: list[bytes] = []
    threads = [threading.Thread(target=lambda: keys.append(keyring.data_key("new", create=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 8
    assert len(set(keys)) == 1
