"""Strings on their way into Arrow, which holds UTF-8 only."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa


def string_array(values: Sequence[str | None]) -> pa.Array:
    """An Arrow string array; a lone surrogate, which has no UTF-8 form, becomes U+FFFD.

    Python makes lone surrogates of undecodable bytes (`surrogateescape`) and of JSON escapes of half a pair.
    """
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        return pa.array([None if value is None else well_formed(value) for value in values], pa.string())


def well_formed(text: str) -> str:
    """The text with every lone surrogate replaced by U+FFFD; a surrogate pair becomes the character it stands for."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
