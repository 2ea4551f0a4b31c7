"""What a user sets for the `policy` processor."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Self

from pydantic import Field, model_validator

from spanward.processor.governance.limits import MAX_NESTING, Limits
from spanward.processor.policy.config import Policy
from spanward.processor.policy.native import Engine
from spanward.sidecar.component import Config

_DEFAULTS: Final = Limits()


class LimitsConfig(Config):
    """Bounds on one request. A span beyond one of them is refused by itself; its neighbours are kept."""

    nesting: int = Field(default=_DEFAULTS.nesting, ge=0, le=MAX_NESTING)
    """Arrays and maps around one attribute value, in levels; 0 allows plain values only."""

    attributes: int = Field(default=_DEFAULTS.attributes, ge=1)
    """Attributes of one span, event, link, resource or scope."""

    events: int = Field(default=_DEFAULTS.events, ge=0)
    """Events of one span; 0 allows none."""

    links: int = Field(default=_DEFAULTS.links, ge=0)
    """Links of one span; 0 allows none."""

    spans: int = Field(default=_DEFAULTS.spans, ge=1)
    """Spans of one request; beyond it the whole request is refused."""

    def to_limits(self) -> Limits:
        """The same bounds, as the decoders read them."""
        return Limits(**self.model_dump())


class PolicyConfig(Config):
    """Which policy governs the spans of a pipeline; with neither option, the default policy."""

    policy: Policy | None = None
    """The policy itself, written in place."""

    file: Path | None = None
    """A YAML or TOML file that holds the policy."""

    limits: LimitsConfig = LimitsConfig()
    """Bounds on one request."""

    engine: Engine = Engine.AUTO
    """What works: `auto` (the compiled kernel where it is installed and can do what the policy asks for, else Python),
    `kernel` (refuse to start without it) or `python`. The rows are the same."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.policy is not None and self.file is not None:
            raise ValueError("set either 'policy' or 'file', not both")
        return self

    def load(self) -> Policy:
        """The policy in force.

        Raises:
            ConfigurationError: the file is missing or not a policy.
        """
        if self.policy is not None:
            return self.policy
        return Policy.load(self.file) if self.file is not None else Policy.default()
