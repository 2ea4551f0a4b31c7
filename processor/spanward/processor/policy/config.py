"""The policy: one typed object for what is labelled, what is looked for, what is done, what must hold.

`Policy.default()` is what holds without a file; `Policy.load(path)` reads YAML or TOML. docs/policy.md explains the
options, examples/policy.yaml shows them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import ValidationError

from spanward.processor.policy.files import explain, read_document
from spanward.processor.policy.options import Defaults, LabelRule, Limits, Options, Privacy, Quality
from spanward.store.errors import ConfigurationError


class Policy(Options):
    """Everything the policy can be told. Every option has a default; unknown keys are refused."""

    defaults: Defaults = Defaults()
    """Labels of spans that no rule and no claim labels."""
    labels: tuple[LabelRule, ...] = ()
    """Rules that label spans; a floor under what the spans claim for themselves."""
    privacy: Privacy = Privacy()
    """Personal data and secrets: what is done with them."""
    quality: Quality = Quality()
    """What a span must hold to be believed."""
    limits: Limits = Limits()
    """How much text, depth and memory one span may cost."""

    @classmethod
    def default(cls) -> Self:
        """The policy that holds when nobody says otherwise."""
        return cls()

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a `.yaml`, `.yml` or `.toml` file.

        Raises:
            ConfigurationError: the file cannot be read, is not YAML or TOML, or sets something wrong; the message names
                the file, the option and the remedy.
        """
        document = read_document(Path(path))
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            raise ConfigurationError(f"{path}: {explain(error, cls)}") from error
