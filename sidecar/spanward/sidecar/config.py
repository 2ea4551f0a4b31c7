"""The sidecar's configuration: the Collector's own YAML form, typed, with a default built in.

Reading goes in three steps, each with errors that name the place and the remedy: YAML with `${env:VAR}` replaced, the
shape (`Settings`), and each component's own options against the `Config` of its factory (`resolve`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, Field, ValidationError

from spanward.sidecar.component import SECRET, Config, Factory, Kind
from spanward.store.errors import ConfigurationError

DEFAULT_YAML: Final = """\
# What `spanward sidecar` runs when no --config is given: everything on this machine, loopback only.
receivers:
  otlp:
    protocols:
      grpc: {endpoint: "127.0.0.1:4317"}
      http: {endpoint: "127.0.0.1:4318"}
processors:
  policy: {}
connectors:
  percentiles: {}
  registrations: {}
exporters:
  lake: {}
extensions:
  health: {endpoint: "127.0.0.1:13133"}
  jaeger: {endpoint: "127.0.0.1:17271"}
service:
  extensions: [health, jaeger]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [policy]
      exporters: [lake, percentiles, registrations]
  telemetry:
    metrics: {endpoint: "127.0.0.1:8888"}
    logs: {level: info}
"""

_HIDDEN: Final = "${env:NOT_SHOWN}"
"""Stands for a secret; a configuration that was printed and is read again asks for it."""
_VARIABLE: Final = re.compile(r"\$\$|\$\{env:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}")
_IDENTIFIER: Final = re.compile(r"(?P<type>[a-z][a-z0-9_]*)(?:/(?P<name>[A-Za-z0-9_.-]+))?")


class MetricsTelemetry(Config):
    """Where the sidecar's own metrics are served."""

    endpoint: str | None = "127.0.0.1:8888"
    """host:port of the Prometheus endpoint `/metrics`; null turns it off."""


class LogsTelemetry(Config):
    """How much the sidecar says on stderr."""

    level: str = Field(default="info", pattern="^(debug|info|warn|error)$")
    """debug, info, warn or error."""


class Telemetry(Config):
    """The sidecar's own telemetry."""

    metrics: MetricsTelemetry = MetricsTelemetry()
    logs: LogsTelemetry = LogsTelemetry()


class IntakeConfig(Config):
    """The intake log of a pipeline."""

    dedup_window_seconds: float = Field(default=600.0, ge=0)
    """How long a repeated request body is recognised and answered as before, in seconds; 0 never recognises one."""
    max_log_mib: int = Field(default=4096, ge=64)
    """Requests are refused (retryably) while the log holds more MiB than this."""
    max_pending_mib: int = Field(default=256, ge=1)
    """Requests are refused (retryably) while more MiB than this wait for the disk."""
    segment_mib: float = Field(default=64.0, ge=0.0625, le=1024)
    """Size of the log's files, in MiB; a file is removed as a whole once the lake has everything that is in it."""
    trim_interval_seconds: float = Field(default=5.0, gt=0, le=3600)
    """Time between two removals of what the lake has from the log, in seconds."""


class PipelineConfig(Config):
    """One way from receivers to exporters."""

    receivers: tuple[str, ...] = Field(min_length=1)
    """Ids of the receivers that feed it."""
    processors: tuple[str, ...] = Field(min_length=1)
    """Ids of its processors; the first one is the policy: nothing ungoverned may be stored."""
    exporters: tuple[str, ...] = Field(min_length=1)
    """Ids of the exporters and connectors that get every batch, in this order."""
    intake: IntakeConfig = IntakeConfig()


class ServiceConfig(Config):
    """What runs."""

    extensions: tuple[str, ...] = ()
    """Ids of the extensions, started in this order."""
    pipelines: dict[str, PipelineConfig] = Field(min_length=1)
    """Pipelines by id, `traces` or `traces/name`."""
    telemetry: Telemetry = Telemetry()
    shutdown_timeout_seconds: float = Field(default=30.0, gt=0)
    """How long a shutdown may drain before what is left stays in the intake log, in seconds."""


class Settings(Config):
    """The whole file."""

    receivers: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """Options of each by id; null for none."""
    processors: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """Options of each by id; null for none."""
    connectors: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """Options of each by id; null for none."""
    exporters: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """Options of each by id; null for none."""
    extensions: dict[str, dict[str, Any] | None] = Field(default_factory=dict)
    """Options of each by id; null for none."""
    service: ServiceConfig
    """What of these runs, and how it is connected."""


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """A component that is to run.

    Attributes:
        kind, identifier: `exporter`, `lake/archive`.
        factory: makes it.
        config: its validated options.
    """

    kind: Kind
    identifier: str
    factory: Factory
    config: Config


@dataclass(frozen=True, slots=True)
class ResolvedConfig:
    """A configuration in which every name leads to something."""

    settings: Settings
    components: Mapping[tuple[Kind, str], ComponentSpec]

    def spec(self, kind: Kind, identifier: str) -> ComponentSpec:
        """The component of that kind and id."""
        return self.components[kind, identifier]

    def sink(self, identifier: str) -> ComponentSpec:
        """The exporter or connector of that id."""
        return self.components.get((Kind.EXPORTER, identifier)) or self.components[Kind.CONNECTOR, identifier]

    def effective(self) -> dict[str, Any]:
        """The configuration with every default written out and no secret, as `--print-config` shows it."""
        document: dict[str, Any] = {f"{kind}s": {} for kind in Kind}
        for (kind, identifier), spec in self.components.items():
            document[f"{kind}s"][identifier] = _shown(spec.config)
        document["service"] = self.settings.service.model_dump(mode="json")
        return {section: content for section, content in document.items() if content}


def _shown(config: BaseModel) -> dict[str, Any]:
    """The options of a component; what is marked `SECRET` is there without its value."""
    document = config.model_dump(mode="json")
    for name, option in type(config).model_fields.items():
        value = getattr(config, name)
        if option.json_schema_extra == SECRET:
            document[name] = dict.fromkeys(value, _HIDDEN) if isinstance(value, dict) else _HIDDEN
        elif isinstance(value, BaseModel):
            document[name] = _shown(value)
    return document


def load(path: Path | None, *, environment: Mapping[str, str] = os.environ) -> ResolvedConfig:
    """Read a configuration file, or the default when `path` is None.

    Raises:
        ConfigurationError: the file cannot be read or something in it is wrong.
    """
    if path is None:
        return parse(DEFAULT_YAML, source="the built-in default", environment=environment)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read as a configuration file: {error}") from error
    return parse(text, source=str(path), environment=environment)


def parse(text: str, *, source: str, environment: Mapping[str, str] = os.environ) -> ResolvedConfig:
    """Read configuration text; `source` names it in errors.

    Raises:
        ConfigurationError: something in it is wrong; the message says where and what to do.
    """
    document = _substitute(_load_yaml(text, source), environment, source)
    if not isinstance(document, dict):
        raise ConfigurationError(f"{source}: a configuration is a mapping with the key 'service'; see --print-config")
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(_describe(error, source, "")) from None
    return resolve(settings, source=source)


def resolve(settings: Settings, *, source: str) -> ResolvedConfig:
    """Find the factory and validate the options of every configured component, and check all references.

    Raises:
        ConfigurationError: a type or an id does not exist, or an option is wrong.
    """
    components: dict[tuple[Kind, str], ComponentSpec] = {}
    for kind in Kind:
        for identifier, options in getattr(settings, f"{kind}s").items():
            components[kind, identifier] = _component(kind, identifier, options or {}, source)
    _check_references(settings, components, source)
    return ResolvedConfig(settings, components)


def _load_yaml(text: str, source: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from None


def _substitute(node: Any, environment: Mapping[str, str], source: str) -> Any:
    if isinstance(node, dict):
        return {key: _substitute(value, environment, source) for key, value in node.items()}
    if isinstance(node, list):
        return [_substitute(value, environment, source) for value in node]
    if not isinstance(node, str) or "$" not in node:
        return node

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        default: str | None = match["default"]
        value = environment.get(match["name"], default)
        if value is None:
            raise ConfigurationError(
                f"{source}: the environment variable {match['name']} is not set; set it or write "
                f"${{env:{match['name']}:-default}}",
            )
        return value

    replaced = _VARIABLE.sub(replace, node)
    # a value that is one variable takes its YAML type, as in the Collector: ${env:PORT} may be a number
    return _load_yaml(replaced, source) if _VARIABLE.fullmatch(node) and node != "$$" else replaced


def _component(kind: Kind, identifier: str, options: dict[str, Any], source: str) -> ComponentSpec:
    where = f"{kind}s.{identifier}"
    match = _IDENTIFIER.fullmatch(identifier)
    if match is None:
        raise ConfigurationError(f"{source}: {where}: an id is written 'type' or 'type/name'")
    factory = _find_factory(kind, match["type"], where, source)
    try:
        return ComponentSpec(kind, identifier, factory, factory.config.model_validate(options))
    except ValidationError as error:
        raise ConfigurationError(_describe(error, source, where + ".")) from None


def _find_factory(kind: Kind, component_type: str, where: str, source: str) -> Factory:
    points = entry_points(group=f"spanward.{kind}")
    if component_type not in points.names:
        known = ", ".join(sorted(points.names)) or "none"
        raise ConfigurationError(
            f"{source}: {where}: there is no {kind} of type {component_type!r}; installed are: {known}. "
            f"A plug-in must be installed in this environment and name itself in the entry-point group spanward.{kind}",
        )
    try:
        factory = points[component_type].load()
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{source}: {where}: the plug-in cannot be loaded: {error}") from error
    if not isinstance(factory, Factory):
        raise ConfigurationError(f"{source}: {where}: its entry point does not name a spanward Factory")
    return factory


def _check_references(settings: Settings, components: Mapping[tuple[Kind, str], ComponentSpec], source: str) -> None:
    for identifier in settings.service.extensions:
        _require(components, (Kind.EXTENSION,), identifier, "service.extensions", source)
    owners: dict[tuple[str, str], str] = {}
    for pipeline, config in settings.service.pipelines.items():
        where = f"service.pipelines.{pipeline}"
        if pipeline.partition("/")[0] != "traces":
            raise ConfigurationError(
                f"{source}: {where}: only 'traces' pipelines exist, written 'traces' or 'traces/name'"
            )
        for identifier in config.receivers:
            _require(components, (Kind.RECEIVER,), identifier, f"{where}.receivers", source)
        for identifier in config.processors:
            _require(components, (Kind.PROCESSOR,), identifier, f"{where}.processors", source)
        for identifier in config.exporters:
            _require(components, (Kind.EXPORTER, Kind.CONNECTOR), identifier, f"{where}.exporters", source)
        for section in ("receivers", "exporters"):
            for identifier in getattr(config, section):
                owner = owners.setdefault((section, identifier), pipeline)
                if owner != pipeline:
                    raise ConfigurationError(
                        f"{source}: {where}.{section}: {identifier!r} already belongs to pipeline {owner!r}: "
                        f"each follows the intake log of one pipeline; configure another, such as '{identifier}/2'",
                    )


def _require(
    components: Mapping[tuple[Kind, str], ComponentSpec],
    kinds: tuple[Kind, ...],
    identifier: str,
    where: str,
    source: str,
) -> None:
    if not any((kind, identifier) in components for kind in kinds):
        sections = " or ".join(f"{kind}s" for kind in kinds)
        raise ConfigurationError(f"{source}: {where}: {identifier!r} is not configured; add it under {sections}")


def _describe(error: ValidationError, source: str, prefix: str) -> str:
    lines: list[str] = []
    for problem in error.errors(include_url=False):
        place = prefix + ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"{source}: {place}: unknown key; remove it or see --print-config for the keys that exist")
        elif problem["type"] == "missing":
            lines.append(f"{source}: {place}: is required")
        else:
            # the value itself is not shown: it may be a secret
            lines.append(f"{source}: {place}: {problem['msg']}")
    return "\n".join(lines)
