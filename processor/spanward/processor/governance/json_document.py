"""A JSON request as Python objects, down to its lists of spans."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from spanward.processor.governance.json_values import kind_of
from spanward.store.errors import InvalidRequestError
from spanward.store.text import well_formed

_SURROGATE_ESCAPE: Final = re.compile(r"\\u[dD][89a-fA-F]")
_LONGEST_INTEGER: Final = 40  # digits; any longer is out of every range, and costs quadratic time to convert


def load(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a request; no string in it holds a lone surrogate.

    Raises:
        InvalidRequestError: the body is no JSON object; says where, and quotes nothing.
    """
    source = body.decode("utf-8", "replace").removeprefix("\ufeff")
    try:
        document = json.loads(source, parse_int=_parse_int, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from error
    except RecursionError as error:
        raise InvalidRequestError("the body is not OTLP/JSON: it is nested too deeply") from error
    if not isinstance(document, dict):
        raise InvalidRequestError(f"the body is {kind_of(document)}, not an OTLP ExportTraceServiceRequest object")
    return _well_formed(document) if _SURROGATE_ESCAPE.search(source) else document


def _parse_int(digits: str) -> int | str:
    return int(digits) if len(digits) <= _LONGEST_INTEGER else digits


def _refuse_constant(word: str) -> NoReturn:
    raise InvalidRequestError(f'the body is not JSON: {word} is no JSON number; OTLP/JSON writes it as "{word}"')


def _well_formed(value: Any) -> Any:
    """The document without lone surrogates, which escapes can smuggle into JSON and which no UTF-8 text has."""
    match value:
        case str():
            return well_formed(value)
        case list():
            return [_well_formed(item) for item in value]
        case dict():
            return {well_formed(key): _well_formed(item) for key, item in value.items()}
        case _:
            return value


def array(document: Mapping[str, Any], name: str, path: str) -> list[Any]:
    """A member that must be an array; absent and null are an empty one. `path` leads to the document.

    Raises:
        InvalidRequestError: it is something else, so that nobody can say how many spans are lost.
    """
    value = document.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidRequestError(f"{path}{name} is {kind_of(value)}, not an array")
    return value


def objects(document: Mapping[str, Any], name: str, path: str) -> Iterator[Mapping[str, Any]]:
    """The members of an array of objects.

    Raises:
        InvalidRequestError: it is no array, or one of them is no object.
    """
    for index, item in enumerate(array(document, name, path)):
        if not isinstance(item, dict):
            raise InvalidRequestError(f"{path}{name}[{index}] is {kind_of(item)}, not an object")
        yield item
