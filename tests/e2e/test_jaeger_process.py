"""How the tests come by a Jaeger, and what the example's configuration is made into; no Jaeger is needed for these."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import yaml

from tests.jaeger.process import EXAMPLE, add_tenancy, configuration, find_binary, free_ports, start_jaeger

PORTS = {"query_http": 1, "query_grpc": 2, "otlp_grpc": 3, "otlp_http": 4}


def environment(cache: Path, **more: str) -> dict[str, str]:
    """A shell's variables with an empty cache, and no Go on PATH."""
    return {"PATH": "/usr/bin:/bin", "HOME": str(cache), "XDG_CACHE_HOME": str(cache), **more}


def program(path: Path, text: str) -> Path:
    """A shell script that can be run."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_without_a_binary_the_tests_say_how_to_get_one(tmp_path: Path) -> None:
    """Scenario: nothing was built, nothing may be. Guarantee: none is found, and two remedies are named."""
    binary, how = find_binary(environment(tmp_path))
    assert binary is None
    assert "make jaeger-test" in how
    assert "SPANWARD_JAEGER" in how
    assert list(tmp_path.iterdir()) == []


def test_a_build_without_go_says_what_is_missing(tmp_path: Path) -> None:
    """Scenario: a build is asked for where there is no Go. Guarantee: an error that names it, and no half binary."""
    with pytest.raises(RuntimeError, match="which is not on PATH"):
        find_binary(environment(tmp_path, SPANWARD_JAEGER_BUILD="1"))
    assert list(tmp_path.rglob("*jaeger")) == []


def test_a_build_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Scenario: the compiler fails halfway. Guarantee: its words are shown; the next run starts afresh."""
    tools = tmp_path / "tools"
    tools.mkdir()
    program(tools / "go", "echo no space left >&2; exit 1")
    variables = environment(tmp_path / "cache", SPANWARD_JAEGER_BUILD="1", PATH=f"{tools}:/usr/bin:/bin")
    with pytest.raises(RuntimeError, match="no space left"):
        find_binary(variables)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_build_is_done_once(tmp_path: Path) -> None:
    """Scenario: built, then asked for again without leave to build. Guarantee: the same binary, one build."""
    tools, cache = tmp_path / "tools", tmp_path / "cache"
    tools.mkdir()
    program(tools / "go", f'echo run >> {tmp_path}/builds; while [ "$1" != -o ]; do shift; done; echo "#!" > "$2"')
    variables = environment(cache, SPANWARD_JAEGER_BUILD="1", PATH=f"{tools}:/usr/bin:/bin")
    built, _ = find_binary(variables)
    again, _ = find_binary(environment(cache))
    assert built is not None
    assert built == again == find_binary(variables)[0]
    assert os.access(built, os.X_OK)
    assert (tmp_path / "builds").read_text() == "run\n"


def test_a_binary_may_be_named(tmp_path: Path) -> None:
    """Scenario: SPANWARD_JAEGER names a program, then none. Guarantee: it is taken; the mistake is told."""
    mine = program(tmp_path / "mine", "exit 0")
    assert find_binary(environment(tmp_path, SPANWARD_JAEGER=str(mine)))[0] == mine
    with pytest.raises(RuntimeError, match="is not a program"):
        find_binary(environment(tmp_path, SPANWARD_JAEGER=str(tmp_path)))


def test_a_jaeger_that_ends_at_once_is_told_with_its_words(tmp_path: Path) -> None:
    """Scenario: it refuses its configuration. Guarantee: an error with the end of its log, soon."""
    binary = program(tmp_path / "jaeger", "echo 'unknown key'; exit 1")
    with pytest.raises(RuntimeError, match="unknown key"):
        start_jaeger(binary, "127.0.0.1:1", "127.0.0.1:2", tmp_path / "run")
    assert len(list((tmp_path / "run").iterdir())) == 1


def test_a_taken_port_is_tried_again_with_others(tmp_path: Path) -> None:
    """Scenario: somebody takes the port between choice and bind. Guarantee: other ports, a bounded number of times."""
    binary = program(tmp_path / "jaeger", "echo 'listen: address already in use'; exit 1")
    with pytest.raises(RuntimeError, match="address already in use"):
        start_jaeger(binary, "127.0.0.1:1", "127.0.0.1:2", tmp_path / "run")
    configs = [yaml.safe_load(path.read_text()) for path in sorted((tmp_path / "run").rglob("config.yaml"))]
    ports = {config["extensions"]["jaeger_query"]["http"]["endpoint"] for config in configs}
    assert len(configs) == len(ports) == 3


def test_the_example_is_used_as_it_is_but_for_addresses() -> None:
    """Scenario: the example's configuration for a test. Guarantee: with its own addresses back it is the example."""
    document = configuration("127.0.0.1:17271", "127.0.0.1:4317", {
        "query_http": 16686, "query_grpc": 16685, "otlp_grpc": 14317, "otlp_http": 14318,
    })  # fmt: skip
    assert document == yaml.safe_load(EXAMPLE.read_text())
    changed = configuration("host:5", "host:6", PORTS)
    assert changed["extensions"]["jaeger_storage"]["backends"]["spanward"]["grpc"]["endpoint"] == "host:5"
    assert changed["exporters"]["otlp"]["endpoint"] == "host:6"


def test_tenancy_is_what_the_readme_says() -> None:
    """Scenario: the README's block for tenants. Guarantee: it goes into both places, spelled for Jaeger 2.13."""
    document = configuration("host:5", "host:6", PORTS)
    add_tenancy(document)
    query = document["extensions"]["jaeger_query"]["multi_tenancy"]
    assert query == document["extensions"]["jaeger_storage"]["backends"]["spanward"]["grpc"]["multi_tenancy"]
    assert query == {"Enabled": True, "Header": "x-tenant", "Tenants": ["acme", "umbrella"]}


def test_free_ports_are_all_different() -> None:
    """Scenario: many at once. Guarantee: one each, none twice."""
    ports = free_ports(*map(str, range(50)))
    assert len(set(ports.values())) == 50
