"""The compiled kernel, where it is installed and can do what the policy asks for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib import import_module
from typing import Any, Final

from spanward.processor.policy.kernel_plan import UnsupportedError
from spanward.processor.policy.keys import HashKey
from spanward.store.errors import ConfigurationError

_LOGGER: Final = logging.getLogger(__name__)
_MODULE: Final = "spanward.native"
_INSTALL: Final = "pip install spanward-native, or pip install ./native from a checkout with Rust"


class Engine(StrEnum):
    """What decodes and governs."""

    AUTO = "auto"
    KERNEL = "kernel"
    PYTHON = "python"


def load_native(engine: Engine, kind: str, keys: Sequence[HashKey], plan: Callable[[], str]) -> Any | None:
    """An object of the compiled kernel; None where Python has to do.

    Args:
        engine: what is asked for.
        kind: the class of `spanward.native`.
        keys: hash keys, newest first.
        plan: compiles the policy.

    Raises:
        ConfigurationError: the engine is KERNEL, and it is not installed or cannot do what the policy asks for.
    """
    if engine is Engine.PYTHON:
        return None
    try:
        compiled = plan()
        make = getattr(import_module(_MODULE), kind)
        return make(compiled, keys[0].id, keys[0].secret) if keys else make(compiled)
    except (UnsupportedError, ValueError, ImportError, AttributeError) as error:
        missing = isinstance(error, ImportError)
        why = f"spanward-native is not installed ({_INSTALL})" if missing else str(error)
        if engine is Engine.KERNEL:
            raise ConfigurationError(
                f"policy: engine is 'kernel', but {why}; mend that, or set engine to 'auto'"
            ) from error
        _LOGGER.log(logging.INFO if missing else logging.WARNING, "the policy runs in Python, slower: %s", why)
        return None


def load_function(name: str) -> Any:
    """A function of the compiled kernel, of which something has been loaded already."""
    return getattr(import_module(_MODULE), name)
