"""The error tree.

    SpanwardError                 everything this product raises on purpose
    ├── ConfigurationError        a setting is wrong; says which one and what to do
    ├── RetryableError            the same call may succeed later; carries `retry_after` and the `remainder`
    │   └── OverloadedError       refused because a bound was reached; nothing was taken
    ├── PermanentError            the same call will fail again
    │   └── InvalidRequestError   the caller's bytes are wrong; the caller keeps them
    └── StoreError                the data folder is not as it must be
        ├── KeyringError          a key is missing, wrong or readable by others
        ├── LogDamagedError       bytes in the intake log fail their checks; says file, offset, bytes
        └── LockedError           another process holds the data folder

Foreign exceptions (OSError, pyarrow, deltalake, grpc) are translated once, at the edge where they come in.
Any exception outside this tree is a bug: it is logged, counted, and never retried in a loop.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


class SpanwardError(Exception):
    """Everything this product raises on purpose."""


class ConfigurationError(SpanwardError):
    """A setting is wrong; the message names it and the remedy."""


class RetryableError(SpanwardError):
    """The same call may succeed later.

    Attributes:
        retry_after: seconds the caller should wait, or None when nothing better than its own backoff is known.
        remainder: the part that the callee did not take, or None when it took nothing.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, remainder: Any = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.remainder = remainder


class OverloadedError(RetryableError):
    """Refused because a bound was reached; nothing was taken."""


class PermanentError(SpanwardError):
    """The same call will fail again."""


class InvalidRequestError(PermanentError):
    """The caller's bytes are wrong."""


class StoreError(SpanwardError):
    """The data folder is not as it must be."""


class KeyringError(StoreError):
    """A key is missing, wrong, or readable by others."""


class LockedError(StoreError):
    """Another process holds the data folder."""


class LogDamagedError(StoreError):
    """Bytes in the intake log fail their checks.

    Attributes:
        path: the segment.
        offset: where the damage starts, in bytes.
        length: how many bytes cannot be read.
    """

    def __init__(self, path: Path, offset: int, length: int, why: str) -> None:
        super().__init__(f"{path}: {length} bytes at offset {offset} cannot be read: {why}")
        self.path = path
        self.offset = offset
        self.length = length
