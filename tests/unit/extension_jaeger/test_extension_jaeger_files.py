"""The files around the extension: generated stubs, their types, the example configuration, the factory."""

from __future__ import annotations

import ast
import logging
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from spanward.extension.jaeger import storage_pb2 as pb
from spanward.extension.jaeger.config import JaegerConfig
from spanward.extension.jaeger.factory import factory
from spanward.extension.jaeger.jaeger import JaegerExtension

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "extension" / "spanward" / "extension" / "jaeger"


def test_the_stubs_are_what_the_proto_says(tmp_path: Path) -> None:
    """Scenario: the generator runs again. Guarantee: byte for byte the committed files, so that none was edited."""
    subprocess.run(["sh", str(ROOT / "tools" / "protos.sh"), sys.executable, str(tmp_path)], check=True, cwd=ROOT)
    made = sorted(path for path in tmp_path.rglob("*") if path.is_file())
    assert [path.name for path in made] == ["storage_pb2.py", "storage_pb2.pyi", "storage_pb2_grpc.py"]
    for path in made:
        assert path.read_bytes() == (FOLDER / path.name).read_bytes(), f"run tools/protos.sh: {path.name} differs"


@pytest.mark.parametrize("service", ["TraceReader", "DependencyReader"])
def test_the_types_kept_by_hand_name_every_method(service: str) -> None:
    """Scenario: a method is added to the proto. Guarantee: its stub is typed, with the right messages."""
    tree = ast.parse((FOLDER / "storage_pb2_grpc.pyi").read_text())
    (stub,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == f"{service}Stub"]
    typed = {
        ast.unparse(node.target): ast.unparse(node.annotation) for node in stub.body if isinstance(node, ast.AnnAssign)
    }
    methods = pb.DESCRIPTOR.services_by_name[service].methods
    assert typed.keys() == {method.name for method in methods}
    for method in methods:
        kind = "UnaryStream" if method.server_streaming else "UnaryUnary"
        output = method.output_type.name
        expected = (
            f"grpc.{kind}MultiCallable[pb.{method.input_type.name}, {'' if output == 'TracesData' else 'pb.'}{output}]"
        )
        assert typed[method.name] == expected


def test_numbers_are_those_that_jaeger_speaks() -> None:
    """Scenario: Jaeger's client on the other side. Guarantee: package and field numbers as it has them."""
    assert pb.DESCRIPTOR.package == "jaeger.storage.v2"
    fields = {
        "GetTraceParams": "trace_id start_time end_time",
        "TraceQueryParameters": "service_name operation_name attributes start_time_min start_time_max duration_min "
        "duration_max search_depth",
        "FoundTraceID": "trace_id start end",
        "TraceSummary": "trace_id root_service_name root_operation_name min_start_time_unix_nano "
        "max_end_time_unix_nano span_count error_span_count orphan_span_count services",
        "ServiceSummary": "name span_count error_span_count",
        "Operation": "name span_kind",
        "Dependency": "parent child call_count source",
        "AnyValue": "string_value bool_value int_value double_value array_value kvlist_value bytes_value",
    }
    for message, names in fields.items():
        descriptor = pb.DESCRIPTOR.message_types_by_name[message]
        assert [field.name for field in sorted(descriptor.fields, key=lambda field: field.number)] == names.split()
        assert [field.number for field in descriptor.fields] == list(range(1, len(names.split()) + 1))


def test_the_example_points_at_the_default_endpoint() -> None:
    """Scenario: both start with their defaults. Guarantee: Jaeger finds the extension, and its writes the receiver."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "jaeger" / "config.yaml").read_text())
    (backend,) = document["extensions"]["jaeger_storage"]["backends"].items()
    assert backend[0] == document["extensions"]["jaeger_query"]["storage"]["traces"]
    assert backend[1]["grpc"]["endpoint"] == JaegerConfig().endpoint
    taken = {"127.0.0.1:4317", "127.0.0.1:4318"}
    assert document["exporters"]["otlp"]["endpoint"] in taken
    own = {protocol["endpoint"] for protocol in document["receivers"]["otlp"]["protocols"].values()}
    assert not own & taken


def test_the_factory_makes_the_extension() -> None:
    """Scenario: the sidecar makes it from its configuration. Guarantee: unbound until it starts."""
    host = cast("Any", SimpleNamespace(store=None, logger=logging.getLogger("x")))
    extension = factory.create(factory.config(), host)
    assert isinstance(extension, JaegerExtension)
    assert extension.port == 0
