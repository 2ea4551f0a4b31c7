"""The compiled kernel inside the `policy` processor: when it works, when it leaves the work to Python, what is said."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import re
from fnmatch import translate
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from prometheus_client import CollectorRegistry

from spanward.processor.governance.config import PolicyConfig
from spanward.processor.governance.factory import create
from spanward.processor.governance.governance import Governance
from spanward.processor.governance.kernel import Kernel, load_kernel
from spanward.processor.governance.limits import Limits
from spanward.processor.policy import kernel_plan
from spanward.processor.policy import native as native_module
from spanward.processor.policy.config import Policy
from spanward.processor.policy.kernel_plan import UnsupportedError, compile_plan, glob_regex
from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.native import Engine
from spanward.sidecar.component import Encoding, Host
from spanward.store.errors import ConfigurationError, InvalidRequestError

needs_kernel = pytest.mark.skipif(
    importlib.util.find_spec("spanward.native") is None,
    reason="the kernel is not built: `make kernel` builds it (needs Rust)",
)


class Engines:
    """Processors, and how many requests each engine has decoded."""

    def __init__(self) -> None:
        self.metrics = CollectorRegistry()

    def make(self, **options: Any) -> Governance:
        host = SimpleNamespace(
            identifier="policy",
            store=SimpleNamespace(keyring=SimpleNamespace(hash_keys=lambda: (HashKey("k1", b"s" * 32),))),
            metrics=self.metrics,
            logger=logging.getLogger("spanward.processor/policy"),
        )
        return create(PolicyConfig.model_validate(options), cast("Host", host))

    def requests(self, engine: str) -> float:
        labels = {"processor": "policy", "engine": engine}
        return self.metrics.get_sample_value("spanward_policy_requests_total", labels) or 0.0


@pytest.fixture
def engines() -> Engines:
    return Engines()


def body(*trace_ids: bytes) -> bytes:
    data = TracesData()
    spans = data.resource_spans.add().scope_spans.add().spans
    for trace_id in trace_ids or (b"t" * 16,):
        spans.add(trace_id=trace_id, span_id=b"s" * 8, name="GET /orders of jane.doe@example.com")
    return data.SerializeToString()


@needs_kernel
def test_the_kernel_takes_both_encodings_and_leaves_what_is_odd(engines: Engines) -> None:
    """The default engine: ordinary requests are the kernel's, one with a member twice is Python's; all are governed."""
    governance = engines.make()
    for request in (b'{"resourceSpans":[]}', b'{"resourceSpans":[],"resourceSpans":null}'):
        governance.decode(request, Encoding.JSON, "default", 0)
    rows = governance.decode(body(), Encoding.PROTOBUF, "default", 0).rows
    assert "jane.doe" not in rows["name"][0].as_py()
    assert (engines.requests("kernel"), engines.requests("python")) == (2, 1)


def test_python_can_be_asked_for(engines: Engines) -> None:
    """engine: python works without the kernel, whatever is installed."""
    governance = engines.make(engine="python")
    assert governance.decode(body(), Encoding.PROTOBUF, "default", 0).rows.num_rows == 1
    assert (engines.requests("kernel"), engines.requests("python")) == (0, 1)


@needs_kernel
def test_a_bad_span_costs_itself(engines: Engines) -> None:
    """One span with an id of zeros among 511 good ones: Python takes the request, refuses one, stores the others."""
    decoded = engines.make().decode(
        body(*[b"t" * 16] * 300, bytes(16), *[b"u" * 16] * 211), Encoding.PROTOBUF, "default", 0
    )
    assert (decoded.rows.num_rows, decoded.rejected) == (511, 1)
    assert decoded.message == "span 300 of resource 0, scope 0: trace_id is all zeros"
    assert engines.requests("python") == 1


@needs_kernel
def test_dropped_spans_are_counted(engines: Engines) -> None:
    """A label rule that says drop: no row, counted as accepted, by the kernel too."""
    rule = {"match": {"operation": "GET *"}, "drop": True}
    decoded = engines.make(policy={"labels": [rule]}).decode(body(), Encoding.PROTOBUF, "default", 0)
    assert (decoded.rows.num_rows, decoded.dropped, engines.requests("kernel")) == (0, 1, 1)


@pytest.mark.parametrize(("engine", "words"), [("python", "runs in Python"), ("kernel", "runs in the compiled kernel")])
def test_which_one_runs_is_said_once(
    engines: Engines, engine: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Starting says what works, in one line."""
    if engine == "kernel":
        pytest.importorskip("spanward.native")
    caplog.set_level(logging.INFO)
    asyncio.run(engines.make(engine=engine).start())
    assert [record.getMessage() for record in caplog.records if words in record.getMessage()]


def no_kernel(name: str) -> Any:
    raise ModuleNotFoundError(f"No module named {name!r}")


def test_without_the_kernel_python_works(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Not installed: `auto` says so with the remedy and goes on; `kernel` refuses to start."""
    monkeypatch.setattr(native_module, "import_module", no_kernel)
    caplog.set_level(logging.INFO)
    assert load_kernel(Engine.AUTO, Policy(), [], Limits()) is None
    assert "spanward-native is not installed (pip install" in caplog.text
    with pytest.raises(ConfigurationError, match="engine is 'kernel', but spanward-native is not installed"):
        load_kernel(Engine.KERNEL, Policy(), [], Limits())


@pytest.mark.filterwarnings("ignore:Possible")  # Python's own doubts about sets that another engine reads differently
@pytest.mark.parametrize("pattern", [r"(?<=x)y", r"(?i)token", r"(\w)\1", r"[[:alpha:]]", r"[a&&b]", r"a{,3}", r"\Z"])
def test_regexes_of_one_engine_only_are_pythons(pattern: str, caplog: pytest.LogCaptureFixture) -> None:
    """Look-behind, flags, back references, POSIX classes: not left to an engine that may read them differently."""
    policy = Policy.model_validate({"privacy": {"key_rules": [{"pattern": pattern}]}})
    with pytest.raises(UnsupportedError, match="may mean something else outside of Python"):
        compile_plan(policy, {})
    assert load_kernel(Engine.AUTO, policy, [], Limits()) is None
    assert "the policy runs in Python, slower: the regular expression" in caplog.text


def test_rules_from_plugins_are_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quality rule that a package plugs in is Python, so all is; with plug-ins off it does not matter."""
    monkeypatch.setattr(kernel_plan, "entry_points", lambda **_: [SimpleNamespace(name="no_friday")])
    with pytest.raises(UnsupportedError, match="'no_friday' is a plug-in"):
        compile_plan(Policy(), {})
    assert compile_plan(Policy.model_validate({"quality": {"plugins": False}}), {})


def test_a_failing_kernel_costs_no_spans(caplog: pytest.LogCaptureFixture) -> None:
    """A panic comes as RuntimeError: the request is Python's, and it is said once."""

    class Broken:
        def decode_all(self, *_: object) -> None:
            raise RuntimeError("the kernel failed on a request; please report it")

    kernel = Kernel(Broken())
    assert kernel.decode(b"", Encoding.PROTOBUF, "default", 0) is None
    assert kernel.decode(b"", Encoding.PROTOBUF, "default", 0) is None
    assert caplog.text.count("please report it") == 1


@needs_kernel
@pytest.mark.parametrize("plan", ["", "{}", '{"privacy": {}}'])
def test_a_wrong_plan_is_refused(plan: str) -> None:
    """A plan of another version: ValueError, never a kernel that governs by half a plan."""
    native = pytest.importorskip("spanward.native")
    with pytest.raises(ValueError, match="malformed"):
        native.Kernel(plan)


GLOBS = st.text(st.sampled_from("ab*?[]!-^.\\&|~+\n"), max_size=8)


@given(GLOBS, st.text(st.sampled_from("ab!-^.\\&|~[]+\n"), max_size=6))
def test_globs_mean_what_python_means(glob: str, text: str) -> None:
    """Any glob and any text: the regular expression for the kernel matches what fnmatch's does."""
    pattern = glob_regex(glob).removesuffix("$") + r"\Z"
    assert bool(re.match(pattern, text)) == bool(re.match(translate(glob), text))


@pytest.mark.parametrize("engine", ["python", pytest.param("kernel", marks=needs_kernel)])
def test_what_spans_share_cannot_fill_the_memory(engine: str, engines: Engines) -> None:
    """A resource of a megabyte and 300 tiny spans: refused with the remedy, before a row is made."""
    data = TracesData()
    resource_spans = data.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "s" * (1 << 20)
    spans = resource_spans.scope_spans.add().spans
    for _ in range(300):
        spans.add(trace_id=b"t" * 16, span_id=b"s" * 8)
    with pytest.raises(InvalidRequestError, match=r"would repeat 300 MiB .* more than 256 MiB; send smaller batches"):
        engines.make(engine=engine).decode(data.SerializeToString(), Encoding.PROTOBUF, "default", 0)
