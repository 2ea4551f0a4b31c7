"""The entries of the compliance records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spanward.processor.policy.labels import Classification, Retention
from spanward.store.errors import InvalidRequestError


@dataclass(frozen=True, slots=True)
class Registration:
    """Labels that somebody declared for an event or a lake file.

    Attributes:
        id: its number.
        at_ns: when, nanoseconds since the Unix epoch.
        subject: an event id, or the path of a file in the lake.
        kind: `event` or `file`.
        classification, retention: as declared.
        privacy_tags: such as `email`; sorted.
        actor: who declared it.
    """

    id: int
    at_ns: int
    subject: str
    kind: str
    classification: Classification
    retention: Retention
    privacy_tags: tuple[str, ...]
    actor: str


@dataclass(frozen=True, slots=True)
class PendingRemoval:
    """A file that no version names any more and that readers of older versions may still have open.

    Attributes:
        table, path, partition: which file; the path is relative to the table's folder.
        reason: `expired` or `compacted`.
        bytes: its size.
        due_ns: not to be unlinked before this time.
    """

    table: str
    path: str
    partition: str
    reason: str
    bytes: int
    due_ns: int


@dataclass(frozen=True, slots=True)
class Deletion:
    """Rows of a partition that were removed.

    Attributes:
        table, partition: where they were.
        reason: why.
        rows, files, bytes: how many.
        version: the table's version without them.
        at_ns: when they left the table.
        removed_at_ns: when the last of their files was unlinked; None while that waits for the reader grace.
        key_destroyed: whether the partition's data key was destroyed.
        id: its number; 0 before it is recorded.
    """

    table: str
    partition: str
    reason: str
    rows: int
    files: int
    bytes: int
    version: int
    at_ns: int
    removed_at_ns: int | None = None
    key_destroyed: bool = False
    id: int = 0


def make_registration(
    subject: str,
    *,
    kind: str,
    classification: Classification | str,
    retention: Retention | str | int,
    privacy_tags: Iterable[str],
    actor: str,
    at_ns: int,
) -> Registration:
    """Check what somebody declares; the result has no number yet.

    Raises:
        InvalidRequestError: a label is none, `kind` is neither `event` nor `file`, or `subject` is empty.
    """
    if not subject or kind not in {"event", "file"}:
        raise InvalidRequestError(
            f"a registration is of an event or a file, by its id or path; not {kind!r} {subject!r}"
        )
    try:
        label = classification if isinstance(classification, Classification) else Classification.parse(classification)
        term = retention if isinstance(retention, Retention) else Retention.parse(retention)
    except ValueError as error:
        raise InvalidRequestError(f"registration of {subject}: {error}") from error
    return Registration(0, at_ns, subject, kind, label, term, tuple(sorted(set(privacy_tags))), actor)
