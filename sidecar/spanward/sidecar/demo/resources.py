"""Where the demo finds its example service and its recording: in the package, or in a source checkout."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from spanward.store.errors import ConfigurationError

_HERE: Final = Path(__file__).parent
_CHECKOUT: Final = Path(__file__).parents[4]


@dataclass(frozen=True, slots=True)
class Resources:
    """What the demo runs.

    Attributes:
        checkout: folder of the example service.
        hotrod: the recorded traffic.
    """

    checkout: Path
    hotrod: Path


def find_resources() -> Resources:
    """The demo's files.

    Raises:
        ConfigurationError: they are in neither place.
    """
    for found in (
        Resources(_HERE / "checkout", _HERE / "hotrod.otlp"),
        Resources(_CHECKOUT / "examples" / "checkout", _CHECKOUT / "tests" / "data" / "hotrod.otlp"),
    ):
        if (found.checkout / "app.py").is_file() and found.hotrod.is_file():
            return found
    raise ConfigurationError("the demo's example service is not installed; run it from a source checkout: make demo")
