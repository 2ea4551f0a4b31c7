"""The options of the policy, group by group. `config` puts them together and reads them from files."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, field_validator

from spanward.processor.policy.labels import DEFAULT_CLASSIFICATION, DEFAULT_RETENTION, Classification, Retention
from spanward.processor.policy.privacy.entities import Action, Entity
from spanward.processor.policy.quality.rule import Severity


def _classification(value: object) -> object:
    return Classification.parse(value) if isinstance(value, str) else value


def _retention(value: object) -> object:
    return Retention.parse(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else value


def _regex(value: object) -> object:
    if isinstance(value, str):
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return value


ClassificationOption = Annotated[Classification, BeforeValidator(_classification)]
RetentionOption = Annotated[
    Retention,
    BeforeValidator(_retention),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+d|permanent)$"}),
]
Regex = Annotated[str, BeforeValidator(_regex), Field(min_length=1)]


class Options(BaseModel):
    """What all option groups have in common: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Defaults(Options):
    """The labels of a span that nobody has labelled."""

    classification: ClassificationOption = DEFAULT_CLASSIFICATION
    """public, internal, confidential or restricted."""
    retention: RetentionOption = DEFAULT_RETENTION
    """Days from receipt such as `30d`, or `permanent`."""


class Match(Options):
    """Which spans a label rule is about. All conditions given must hold; at least one must be given."""

    service: str | None = None
    """Glob over `service.name`."""
    operation: str | None = None
    """Glob over the span's name."""
    attribute: str | None = None
    """`key` (the span has it) or `key=value`, both globs; looked up in the span, then in its resource."""
    event_type: str | None = None
    """Glob over `spanward.event.type`."""

    @field_validator("attribute")
    @classmethod
    def _has_key(cls, value: str | None) -> str | None:
        if value is not None and not value.partition("=")[0].strip():
            raise ValueError("an attribute condition is 'key' or 'key=value'")
        return value


class LabelRule(Options):
    """What matching spans are labelled with. Where several match, the strictest class and the shortest term hold."""

    match: Match
    """Which spans."""
    classification: ClassificationOption | None = None
    """The lowest class these spans can have; unset leaves it to claims and defaults."""
    retention: RetentionOption | None = None
    """The longest these spans are kept; unset leaves it to claims and defaults."""
    drop: bool = False
    """True: do not store these spans at all."""

    @field_validator("match")
    @classmethod
    def _says_something(cls, value: Match) -> Match:
        if all(condition is None for condition in value.model_dump().values()):
            raise ValueError("a match needs at least one of service, operation, attribute, event_type")
        return value


class KeyRule(Options):
    """An attribute key that says what its value is."""

    pattern: Regex
    """Regular expression searched in the folded key: lower case, `_` for every separator and camel hump."""
    unless: str = ""
    """Regular expression of folded keys that are not meant; empty for none."""
    entity: Entity = Entity.CREDENTIAL
    """What the value is reported as."""
    action: Action | None = None
    """What is done with it; unset takes the action of the entity."""

    @field_validator("unless")
    @classmethod
    def _is_regex(cls, value: str) -> str:
        _regex(value)
        return value


class AllowKeys(Options):
    """Attributes in which some entity types are expected and not reported."""

    keys: tuple[str, ...]
    """Globs over attribute keys, lower case."""
    entities: tuple[Entity, ...]
    """The types that are not looked for there."""


class Allow(Options):
    """What is not reported although it looks like personal data."""

    keys: tuple[AllowKeys, ...] = (
        AllowKeys(keys=("user_agent.original", "http.user_agent", "*.version", "version"), entities=(Entity.IPV4,)),
    )
    """Attributes with their expected types."""
    values: tuple[str, ...] = ()
    """Literal values, compared without regard to letter case: `noreply@example.com`."""
    networks: tuple[str, ...] = ("127.0.0.0/8", "0.0.0.0/32", "::1/128", "::/128")
    """Networks in CIDR form whose addresses are not reported; the defaults are loopback and unspecified."""

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)
        return value


class Privacy(Options):
    """Personal data and secrets."""

    enabled: bool = True
    """False looks for nothing; labels and quality stay."""
    actions: dict[Entity, Action] = Field(default_factory=dict[Entity, Action])
    """Action per entity type, over the built-in ones: secrets drop; card, us_ssn, iban mask; the others hash."""
    classes: dict[ClassificationOption, dict[Entity, Action]] = Field(
        default_factory=dict[Classification, dict[Entity, Action]],
    )
    """Actions that hold for spans of one class, over `actions`."""
    key_rules: tuple[KeyRule, ...] = ()
    """Rules over attribute keys, tried before the built-in ones; the first that matches decides."""
    default_key_rules: bool = True
    """False forgets the built-in key rules."""
    person_keys: tuple[str, ...] = ("user.id", "enduser.id", "user.email")
    """Attributes whose value is a person's id: it becomes a subject, and stays readable."""
    allow: Allow = Allow()
    """Exceptions."""


class RangeRule(Options):
    """A measured value and where it has to lie."""

    enabled: bool = True
    """False turns the rule off."""
    severity: Severity = Severity.WARNING
    """What breaking it means: info, warning or error."""
    low: float
    """Smallest value that is believed."""
    high: float
    """Largest value that is believed."""

    def model_post_init(self, context: Any, /) -> None:
        """Refuse a range without a member."""
        del context
        if not self.low <= self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")


class FormatRule(Options):
    """A text and what it has to look like."""

    enabled: bool = True
    """False turns the rule off."""
    severity: Severity = Severity.WARNING
    """What breaking it means."""
    pattern: Regex = r"^[a-z][a-z0-9_.-]{0,127}$"
    """Regular expression that the whole value has to match."""


class AnomalyRule(Options):
    """Values far from what the same operation usually shows."""

    enabled: bool = True
    """False turns the rule off."""
    severity: Severity = Severity.WARNING
    """What breaking it means."""
    threshold: float = Field(default=3.0, gt=0)
    """Standard deviations from the mean that are too many."""
    warm_up: int = Field(default=30, ge=2)
    """Spans of an operation before the first is judged."""
    window: int = Field(default=1000, ge=2)
    """Spans over which the baseline slides: older ones fade out with a weight of 1/window each."""
    max_operations: int = Field(default=4096, ge=1)
    """Operations remembered; beyond it the one not seen for longest is forgotten."""


class SimpleRule(Options):
    """A rule without parameters."""

    enabled: bool = True
    """False turns the rule off."""
    severity: Severity = Severity.WARNING
    """What breaking it means."""


class Quality(Options):
    """Quality rules. A span's score is 1 minus the share of broken rules, weighed by severity."""

    processing_time: RangeRule = RangeRule(low=0, high=10_000)
    """Milliseconds: `spanward.processing_time_ms`, or the span's duration where there is none."""
    memory: RangeRule = RangeRule(low=0, high=16_384)
    """MiB: `spanward.memory_mb`."""
    quality: RangeRule = RangeRule(low=0, high=1)
    """`spanward.quality.score`."""
    event_type_format: FormatRule = FormatRule()
    """`spanward.event.type`."""
    anomaly: AnomalyRule = AnomalyRule()
    """Processing time, memory, CPU and quality score against the operation's own baseline."""
    time_order: SimpleRule = SimpleRule()
    """A span ends no earlier than it starts."""
    claims: SimpleRule = SimpleRule()
    """The labels a sender claims are ones that exist, and it does not deny personal data that is there."""
    plugins: bool = True
    """Load rules from the entry-point group `spanward.quality_rule`."""


class Limits(Options):
    """Bounds of the work on one span."""

    max_text_length: int = Field(default=1_000_000, ge=1_000)
    """Characters of one text that are looked at; what is behind is withheld."""
    max_depth: int = Field(default=32, ge=1)
    """Levels of nested values that are looked at; what is deeper is withheld."""
    max_memo: int = Field(default=65_536, ge=0)
    """Distinct texts of one batch whose scan is remembered; 0 remembers none."""
