"""What the demo needs: packages, and its example service and recording, in the package or in a source checkout."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from spanward.store.errors import ConfigurationError

_HERE: Final = Path(__file__).parent
_CHECKOUT: Final = Path(__file__).parents[4]
_PACKAGES: Final = (
    "fastapi", "httpx", "uvicorn", "polars", "opentelemetry-instrumentation", "opentelemetry-instrumentation-fastapi",
    "opentelemetry-instrumentation-httpx", "opentelemetry-instrumentation-sqlite3",
)  # fmt: skip
"""Of the extra `demo`: the example service, its stock instrumentation, and a reader of the tables."""


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
        ConfigurationError: they are in neither place, or a package that they need is not installed.
    """
    missing = [name for name in _PACKAGES if not _is_installed(name)]
    if missing:
        raise ConfigurationError(f"the demo needs {', '.join(missing)}; install with: pip install 'spanward[demo]'")
    for found in (
        Resources(_HERE / "checkout", _HERE / "hotrod.otlp"),
        Resources(_CHECKOUT / "examples" / "checkout", _CHECKOUT / "tests" / "data" / "hotrod.otlp"),
    ):
        if (found.checkout / "app.py").is_file() and found.hotrod.is_file():
            return found
    raise ConfigurationError("the demo's example service is not installed; run it from a source checkout: make demo")


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
