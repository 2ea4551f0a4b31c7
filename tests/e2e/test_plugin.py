"""The example plug-in of docs/components.md, installed as a package of its own and run by the real command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from spanward.sidecar.demo import hotrod
from spanward.sidecar.demo.processes import children, spanward_command
from tests.support.running import default_config

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests" / "data" / "hotrod.otlp"


def install(target: Path) -> None:
    """Install the example as a user would, into a folder of its own."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(target),
    ]
    subprocess.run([*command, str(ROOT / "examples" / "plugin")], check=True, capture_output=True)


def test_a_plugin_package_gets_every_span(tmp_path: Path) -> None:
    """Scenario: pip install of the example, its exporter named in the YAML, HotROD replayed into the real sidecar.

    Guarantee: the plug-in is found by its entry point and writes one line for each of the 1,582 spans.
    """
    install(tmp_path / "site")
    lines = tmp_path / "spans.txt"
    config = default_config(lines={"path": str(lines)})
    file = tmp_path / "sidecar.yaml"
    file.write_text(yaml.safe_dump(config))
    path = os.pathsep.join([str(tmp_path / "site"), os.environ.get("PYTHONPATH", "")])
    with children(tmp_path) as group:
        command = spanward_command("sidecar", "--config", str(file), "--data", str(tmp_path / "data"))
        child = group.start("sidecar", command, environment={"PYTHONPATH": path})
        child.wait_until(lambda: "ready; data in" in child.log.read_text())
        port = child.log.read_text().partition("OTLP/gRPC on port ")[2].split()[0]
        endpoint = f"127.0.0.1:{port}"
        assert hotrod.replay(hotrod.read_requests(RECORDING), endpoint, advance=lambda: None) == 0
        assert child.stop() == 0
    assert len(lines.read_text().splitlines()) == 1582


def test_the_documented_example_is_the_tested_one() -> None:
    """Scenario: a reader copies the exporter from the docs. Guarantee: it is the package's text, in forty lines."""
    source = (ROOT / "examples" / "plugin" / "spanward_exporter_lines" / "__init__.py").read_text().strip()
    assert source in (ROOT / "docs" / "components.md").read_text()
    code = [line for line in source.splitlines() if line.strip() and not line.strip().startswith(('"""', "#"))]
    assert len(code) <= 40
