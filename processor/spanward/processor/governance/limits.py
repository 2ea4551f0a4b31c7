"""What a request may hold, and how spans that break a rule are told apart from those that do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from spanward.processor.policy.span import ResourceRecord, ScopeRecord, SpanRecord
from spanward.store.errors import InvalidRequestError
from spanward.store.values import dumps, dumps_attributes

INT64_MAX: Final = (1 << 63) - 1
INT64_MIN: Final = -(1 << 63)
INT32_MAX: Final = (1 << 31) - 1
INT32_MIN: Final = -(1 << 31)
UINT32_MAX: Final = (1 << 32) - 1

MAX_NESTING: Final = 32
"""Protobuf parsers stop at 100 nested messages, and one level of an attribute map is three of them."""

MAX_SHARED_BYTES: Final = 256 << 20
"""What the rows of one request may repeat of their resources and scopes."""

_REASONS_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one request; a span beyond one of the first four is refused, its neighbours are kept.

    Attributes:
        nesting: arrays and maps around an attribute value, at most `MAX_NESTING`.
        attributes: of one span, event, link, resource or scope.
        events: of one span.
        links: of one span.
        spans: of one request; beyond it the whole request is refused.
    """

    nesting: int = MAX_NESTING
    attributes: int = 1024
    events: int = 4096
    links: int = 4096
    spans: int = 100_000


class RefusedError(Exception):
    """One span (or the resource or scope it shares) breaks a rule; the text says which, and holds none of its data."""


@dataclass(slots=True)
class DecodedSpans:
    """The spans of a request, and what was wrong with the others.

    Attributes:
        records: what can be governed and stored.
        rejected: how many spans were refused.
        reasons: the first few reasons; they name positions, never values, for they are written to disk ungoverned.
    """

    records: list[SpanRecord] = field(default_factory=list)
    rejected: int = 0
    reasons: list[str] = field(default_factory=list)

    def refuse(self, position: Position, why: str) -> None:
        """Count one refused span."""
        self.rejected += 1
        if len(self.reasons) < _REASONS_SHOWN:
            self.reasons.append(f"span {position.span} of resource {position.resource}, scope {position.scope}: {why}")

    @property
    def message(self) -> str:
        """Why spans were refused, in one line; "" when none was."""
        hidden = self.rejected - len(self.reasons)
        return "; ".join(self.reasons) + (f"; and {hidden} more" if hidden else "")


@dataclass(slots=True)
class Position:
    """Where a span stands in its request, counted from 0 in each list."""

    resource: int = 0
    scope: int = 0
    span: int = 0


def check_count(count: int, limit: int, what: str) -> None:
    """Refuse more than `limit` of something.

    Raises:
        RefusedError: there are more.
    """
    if count > limit:
        raise RefusedError(f"{count} {what}, more than the {limit} allowed")


def check_time(nanoseconds: int, name: str) -> None:
    """Refuse a time that a signed 64-bit column cannot hold (after the year 2262).

    Raises:
        RefusedError: it is too large.
    """
    if nanoseconds > INT64_MAX:
        raise RefusedError(f"{name} is past 2^63-1 nanoseconds")


def check_shared(records: Sequence[SpanRecord]) -> None:
    """Refuse spans that share so much that a row for each would fill the memory.

    What a resource and a scope hold stands in the row of each of their spans: a request of a few megabytes, with one
    resource of a megabyte and spans of forty bytes, would make rows of a hundred gigabytes.

    Raises:
        InvalidRequestError: the rows would repeat more than `MAX_SHARED_BYTES`.
    """
    total = 0
    for parts in (_weigh(record.resource for record in records), _weigh(record.scope for record in records)):
        total += sum(size * spans for size, spans in parts)
    if total > MAX_SHARED_BYTES:
        raise InvalidRequestError(
            f"the rows of these spans would repeat {total >> 20} MiB of what their resources and scopes share, more "
            f"than {MAX_SHARED_BYTES >> 20} MiB; send smaller batches or smaller resources"
        )


def _weigh(shared: Iterable[ResourceRecord | ScopeRecord]) -> Iterable[tuple[int, int]]:
    """The size of each distinct object and how many spans share it."""
    distinct: dict[int, ResourceRecord | ScopeRecord] = {}
    counts: Counter[int] = Counter()
    for item in shared:
        distinct[id(item)] = item
        counts[id(item)] += 1
    return [(_size(item), counts[key]) for key, item in distinct.items()]


def _size(item: ResourceRecord | ScopeRecord) -> int:
    named = len(item.name) + len(item.version) if isinstance(item, ScopeRecord) else len(dumps(item.entity_refs))
    return len(dumps_attributes(item.attributes)) + len(item.schema_url) + named
