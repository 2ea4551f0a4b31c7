"""The contract kit: what every registered component of a kind promises, tried on each of them."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from spanward.sidecar.component import Component, Config, Consumer, Decoder, Factory, Host, Kind
from spanward.store.clock import ManualClock
from spanward.store.errors import ConfigurationError
from spanward.store.log import IntakeLog
from tests.support.hosts import RecordingIngest, close_host, make_host, span_batch

ROOT = Path(__file__).parents[2]

OPTIONS: dict[str, dict[str, Any]] = {
    "receiver/otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:0"}, "http": {"endpoint": "127.0.0.1:0"}}},
    "exporter/otlp": {"endpoint": "http://127.0.0.1:9"},
    "extension/jaeger": {"endpoint": "127.0.0.1:0"},
    "extension/health": {"endpoint": "127.0.0.1:0"},
}
"""What a component must be told; everything else must have a default."""


def registered() -> list[tuple[Kind, EntryPoint]]:
    """Every component of this distribution."""
    return [
        (kind, point)
        for kind in Kind
        for point in entry_points(group=f"spanward.{kind}")
        if point.module.startswith("spanward.")
    ]


ALL = [pytest.param(kind, point, id=f"{kind}/{point.name}") for kind, point in registered()]
SINKS = [
    pytest.param(kind, point, id=f"{kind}/{point.name}")
    for kind, point in registered()
    if kind in {Kind.EXPORTER, Kind.CONNECTOR}
]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[tuple[Host, IntakeLog]]:
    """A host with a real store."""
    made = make_host(tmp_path / "data", clock=ManualClock())
    yield made
    close_host(*made)


def make(kind: Kind, point: EntryPoint, host: Host) -> Component:
    """The component with the least options it can have."""
    factory: Factory = point.load()
    config = factory.config.model_validate(OPTIONS.get(f"{kind}/{point.name}", {}))
    arguments = (RecordingIngest(),) if kind is Kind.RECEIVER else ()
    return factory.create(config, host, *arguments)


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """A config model and every model inside it."""
    yield model
    for field in model.model_fields.values():
        for part in (field.annotation, *getattr(field.annotation, "__args__", ())):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from models(part)


@pytest.mark.parametrize(("kind", "point"), ALL)
def test_the_folder_is_complete(kind: Kind, point: EntryPoint) -> None:
    """Scenario: a reader looks for a component. Guarantee: its files lie where all others have theirs."""
    folder = ROOT / str(kind) / Path(*point.module.split(".")[:-1])
    for name in ("config.py", "factory.py", "README.md"):
        assert (folder / name).is_file(), f"{folder / name} is missing"


@pytest.mark.parametrize(("kind", "point"), ALL)
def test_every_option_is_explained_and_unknown_ones_are_refused(kind: Kind, point: EntryPoint) -> None:
    """Scenario: a user mistypes an option. Guarantee: refused by name; every option that exists has a docstring."""
    factory: Factory = point.load()
    assert issubclass(factory.config, Config)
    with pytest.raises(ValidationError, match="no_such_option"):
        factory.config.model_validate({**OPTIONS.get(f"{kind}/{point.name}", {}), "no_such_option": 1})
    for model in models(factory.config):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name} has no docstring"


@pytest.mark.parametrize(("kind", "point"), ALL)
async def test_shutdown_is_idempotent_and_needs_no_start(
    kind: Kind, point: EntryPoint, host: tuple[Host, IntakeLog]
) -> None:
    """Scenario: a neighbour fails to start, so this one is shut down before or after its own start, twice.

    Guarantee: no exception, and a second component can start in its place.
    """
    never_started = make(kind, point, host[0])
    assert isinstance(never_started, Component)
    await never_started.shutdown()
    for registry in [host[0].metrics]:
        for collector in list(registry._collector_to_names):
            registry.unregister(collector)
    component = make(kind, point, host[0])
    await component.start()
    await component.shutdown()
    await component.shutdown()


@pytest.mark.parametrize(
    ("kind", "point"),
    [param for param in ALL if "endpoint" in str(OPTIONS.get(str(param.id))) and param.values[0] is not Kind.EXPORTER],
)
async def test_a_port_in_use_is_named(kind: Kind, point: EntryPoint, host: tuple[Host, IntakeLog]) -> None:
    """Scenario: another process listens on the endpoint. Guarantee: ConfigurationError with endpoint and remedy."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        endpoint = f"127.0.0.1:{other.getsockname()[1]}"
        options = _with_endpoint(OPTIONS[f"{kind}/{point.name}"], endpoint)
        factory: Factory = point.load()
        arguments = (RecordingIngest(),) if kind is Kind.RECEIVER else ()
        component = factory.create(factory.config.model_validate(options), host[0], *arguments)
        with pytest.raises(ConfigurationError, match=endpoint):
            await component.start()
        await component.shutdown()


def _with_endpoint(options: Any, endpoint: str) -> Any:
    if isinstance(options, dict):
        return {
            key: endpoint if key == "endpoint" else _with_endpoint(value, endpoint) for key, value in options.items()
        }
    return options


@pytest.mark.parametrize(("kind", "point"), SINKS)
async def test_a_consumer_takes_batches_in_order_and_forgets_no_sequence(
    kind: Kind,
    point: EntryPoint,
    host: tuple[Host, IntakeLog],
) -> None:
    """Scenario: three batches, the second one replayed. Guarantee: taken; committed() never goes back nor ahead."""
    component = make(kind, point, host[0])
    assert isinstance(component, Consumer)
    await component.start()
    seen = [component.committed()]
    for sequence in (1, 2, 2, 3):
        await component.consume(span_batch(sequence, count=3, received_ns=host[0].clock.now_ns()))
        seen.append(component.committed())
    await component.shutdown()
    seen.append(component.committed())
    assert seen == sorted(seen)
    assert seen[-1] <= 3


@pytest.mark.parametrize(("kind", "point"), [param for param in ALL if param.values[0] is Kind.PROCESSOR])
def test_the_policy_decodes(kind: Kind, point: EntryPoint, host: tuple[Host, IntakeLog]) -> None:
    """Scenario: a pipeline's head. Guarantee: the registered policy is a Decoder, so the graph will take it."""
    assert isinstance(make(kind, point, host[0]), Decoder)
