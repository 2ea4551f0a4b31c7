"""Where spans go, as told by arguments and variables."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from spanward.processor.policy.config import Policy
from spanward.sdk._keys import load_hash_keys
from spanward.sdk._settings import load_policy, make_destination, make_resource
from spanward.store.errors import ConfigurationError


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"endpoint": "x:1", "lake": "here"}, "two destinations"),
        ({"endpoint": "ftp://host"}, "ftp://host"),
        ({"endpoint": "http://"}, "http://"),
        ({"endpoint": "http://[::1"}, "is no URL"),
        ({"protocol": "http/json"}, "http/json"),
        ({"compression": "brotli"}, "brotli"),
        ({"timeout": 0}, "timeout"),
        ({"endpoint": "my host:4317"}, "my host"),
        ({"headers": "key=value"}, "headers takes a mapping, not a str"),
    ],
)
def test_a_wrong_destination_is_refused(settings: dict[str, Any], named: str) -> None:
    """Each wrong argument: an error that names it."""
    with pytest.raises(ConfigurationError, match=named):
        make_destination(**settings)


def test_a_wrong_protocol_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol that the stock exporters do not have: said at once, and not a guess."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "carrier-pigeon")
    with pytest.raises(ConfigurationError, match="carrier-pigeon"):
        make_destination()


@pytest.mark.parametrize(
    ("endpoint", "protocol", "complete", "chosen"),
    [
        ("localhost:4317", None, "http://localhost:4317", "grpc"),
        ("collector:4317", None, "collector:4317", "grpc"),
        ("https://collector:4317", None, "https://collector:4317", "grpc"),
        ("127.0.0.1:4318", None, "http://127.0.0.1:4318/v1/traces", "http/protobuf"),
        ("http://collector:4318/", None, "http://collector:4318/v1/traces", "http/protobuf"),
        ("https://api.example.com/otlp/v1/traces", None, "https://api.example.com/otlp/v1/traces", "http/protobuf"),
        ("https://api.example.com/otlp", "http/protobuf", "https://api.example.com/otlp", "http/protobuf"),
        ("collector:8080", "http/protobuf", "http://collector:8080/v1/traces", "http/protobuf"),
        ("http://[::1]:4318", None, "http://[::1]:4318/v1/traces", "http/protobuf"),
    ],
)
def test_an_endpoint_is_completed_for_its_protocol(
    endpoint: str, protocol: str | None, complete: str, chosen: str
) -> None:
    """What people write as an endpoint, and what the exporter gets."""
    destination = make_destination(endpoint, protocol=protocol)
    assert (destination.endpoint, destination.protocol) == (complete, chosen)


def test_variables_choose_the_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    """The traces variable wins over the general one, an argument over both; the endpoint's port counts last."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    assert make_destination().protocol == "http/protobuf"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", " grpc ")
    assert make_destination().protocol == "grpc"
    assert make_destination(protocol="http/protobuf").protocol == "http/protobuf"
    assert make_destination().endpoint is None


def test_headers_are_lower_case_and_hidden() -> None:
    """GRPC takes no capitals in keys; and credentials in headers do not show in a repr."""
    destination = make_destination("localhost:4317", headers={"Authorization": "Bearer x"}, compression=" GZIP ")
    assert destination.headers == {"authorization": "Bearer x"}
    assert destination.compression == "gzip"
    assert "Bearer" not in repr(destination)


def test_a_lake_by_argument_or_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """SPANWARD_LAKE sends spans into a folder; an endpoint that is given wins over the variable."""
    monkeypatch.setenv("SPANWARD_LAKE", str(tmp_path / "b"))
    assert make_destination().lake == tmp_path / "b"
    assert make_destination(lake=tmp_path / "a").lake == tmp_path / "a"
    assert make_destination("localhost:4317").lake is None


def test_a_policy_given_is_taken_as_it_is() -> None:
    """A Policy object needs no file; without anything there is the built-in one."""
    policy = Policy.default()
    assert load_policy(policy) is policy
    assert isinstance(load_policy(None), Policy)


def test_the_resource_has_what_is_given_and_what_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments win, OTEL_RESOURCE_ATTRIBUTES fills in."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=red,service.name=theirs")
    found = make_resource("mine", {"stage": "test"}).attributes
    assert (found["service.name"], found["team"], found["stage"]) == ("mine", "red", "test")


# --- hash keys --------------------------------------------------------------------------------------------------------


def write_keys(path: Path, document: object, mode: int = 0o600) -> Path:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    path.chmod(mode)
    return path


KEYS = {"hash_keys": [{"id": "k2", "secret": "ab" * 32}, {"id": "k1", "secret": "cd" * 32}]}


@pytest.mark.parametrize(
    ("document", "mode", "named"),
    [
        ("{", 0o600, "not JSON"),
        ({"hash_keys": []}, 0o600, "no keys"),
        ([], 0o600, "no keys"),
        ({"hash_keys": [{"id": "k1"}]}, 0o600, "secret in hex"),
        ({"hash_keys": [{"id": "k1", "secret": "zz"}]}, 0o600, "secret in hex"),
        ({"hash_keys": [{"id": "k1", "secret": "abcd"}]}, 0o600, "shorter than 16"),
        (KEYS, 0o644, "chmod 600"),
    ],
)
def test_a_key_file_that_cannot_be_used_is_refused(tmp_path: Path, document: object, mode: int, named: str) -> None:
    """Each kind of bad key file: an error that names the file and what is wrong."""
    path = write_keys(tmp_path / "keys.json", document, mode)
    with pytest.raises(ConfigurationError, match=named):
        load_hash_keys(path)


def test_a_key_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    """No such file: an error, for going on would mean other tokens than were asked for."""
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_hash_keys(tmp_path / "none.json")


def test_two_sources_of_keys_are_refused(tmp_path: Path) -> None:
    """A file and a keyring at once: which one is meant cannot be known."""
    with pytest.raises(ConfigurationError, match="give one"):
        load_hash_keys(tmp_path, tmp_path)


def test_keys_from_a_file_newest_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By argument and by variable; nothing named means no keys."""
    path = write_keys(tmp_path / "keys.json", KEYS)
    assert [key.id for key in load_hash_keys(path)] == ["k2", "k1"]
    monkeypatch.setenv("SPANWARD_HASH_KEY_FILE", os.fspath(path))
    assert [key.id for key in load_hash_keys()] == ["k2", "k1"]
    monkeypatch.delenv("SPANWARD_HASH_KEY_FILE")
    assert load_hash_keys() == ()


def test_keys_from_a_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a keyring, or its file: the hash keys that the sidecar uses; a missing one is an error."""
    from spanward.store.keyring import Keyring

    with pytest.raises(ConfigurationError, match="keyring"):
        load_hash_keys(keyring=tmp_path / "keys")
    expected = Keyring.open(tmp_path / "keys").hash_keys()
    assert load_hash_keys(keyring=tmp_path / "keys") == expected
    monkeypatch.setenv("SPANWARD_KEYRING", str(tmp_path / "keys" / "keyring.json"))
    assert load_hash_keys() == expected


def test_a_keyring_without_its_package_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The base install has no cryptography: the error says what to install."""
    import sys

    monkeypatch.setitem(sys.modules, "spanward.store.keyring", None)
    with pytest.raises(ConfigurationError, match=r"spanward\[lake\]"):
        load_hash_keys(keyring=tmp_path)
