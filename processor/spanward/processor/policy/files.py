"""Reading a policy file, and saying in one line what is wrong with it."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from spanward.store.errors import ConfigurationError

_LANGUAGES: Final = ".yaml, .yml or .toml"
_SHOWN: Final = 3


def read_document(path: Path) -> Any:
    """The document in a policy file; an empty one is an empty mapping.

    Raises:
        ConfigurationError: no such file, no such language, not UTF-8, or a syntax error, with its line.
    """
    if path.suffix not in {".yaml", ".yml", ".toml"}:
        raise ConfigurationError(f"{path}: a policy file ends in {_LANGUAGES}; rename it or convert it")
    try:
        text = path.read_text(encoding="utf-8")
        return tomllib.loads(text) if path.suffix == ".toml" else (yaml.safe_load(text) or {})
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}; check the path and its rights") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: {' '.join(str(error).split())}; mend the syntax there") from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first few things that are wrong, each as `path.of.option: what; remedy`, in one line."""
    problems = [_problem(item, model) for item in error.errors(include_url=False)]
    more = f" (and {len(problems) - _SHOWN} more)" if len(problems) > _SHOWN else ""
    return " | ".join(problems[:_SHOWN]) + more


def _problem(item: Any, model: type[BaseModel]) -> str:
    location = [part for part in item["loc"] if part != "[key]"]
    where = ".".join(str(part) for part in location) or "the document"
    if item["type"] == "extra_forbidden":
        known = ", ".join(_known(location[:-1], model))
        return f"{where}: unknown option; use one of {known}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{where}: {message[:1].lower() + message[1:]}, not {_shown(item['input'])}; correct or remove it"


def _known(location: Sequence[Any], model: type[BaseModel]) -> list[str]:
    """The options that exist at a place in the tree."""
    for part in location:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return sorted(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation such as `tuple[Model, ...]` is about."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for found in map(_model_in, get_args(annotation)) if found is not None), None)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004 - a line that fits a terminal
