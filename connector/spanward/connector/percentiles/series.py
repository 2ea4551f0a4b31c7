"""The bound on how many operations are told apart."""

from __future__ import annotations

from typing import Final, TypeAlias

import pyarrow as pa

from spanward.connector.percentiles.aggregate import KEYS, SERIES, merge
from spanward.connector.percentiles.grouping import group_rows

SeriesKey: TypeAlias = "tuple[str, str, str, str, str]"
"""tenant, service_name, name, kind, status_code."""

OTHER: Final = "other"
"""The operation (and at worst the service) under which the overflow is counted."""

_ROOM_FOR_OTHERS: Final = 1.25


def distinct_series(partials: pa.Table) -> tuple[list[SeriesKey], pa.Array]:
    """The series that occur, and for each row which of them it is."""
    groups = group_rows([partials[name] for name in SERIES], partials.num_rows)
    some = partials.select(SERIES).take(pa.array(groups.some_row))
    keys: list[SeriesKey] = list(zip(*(column.to_pylist() for column in some.columns), strict=True))
    return keys, pa.array(groups.of_row)


class SeriesLimit:
    """Lets at most `max_series` series of each tenant through; spans of further ones are counted as `OTHER`.

    The first ones seen stay, until restart. Overflow keeps its service, kind and status while a quarter more series
    than `max_series` exist; beyond that the tenant's rest is one single series. Not safe for concurrent use.
    """

    def __init__(self, max_series: int) -> None:
        self._max = max_series
        self._max_with_others = int(max_series * _ROOM_FOR_OTHERS) + 1
        self._known: dict[str, set[SeriesKey]] = {}
        self.overflow_spans = 0

    def counts(self) -> dict[str, int]:
        """Series by tenant."""
        return {tenant: len(known) for tenant, known in self._known.items()}

    def apply(self, partials: pa.Table) -> pa.Table:
        """The same partials with the overflow relabelled and merged."""
        keys, series_of_row = distinct_series(partials)
        admitted = [self._admit(key) for key in keys]
        if admitted == keys:
            return partials
        changed = pa.array([old != new for old, new in zip(keys, admitted, strict=True)])
        self.overflow_spans += sum(partials.filter(changed.take(series_of_row))["count"].to_pylist())
        for position, name in enumerate(SERIES):
            column = pa.array([key[position] for key in admitted], pa.string()).take(series_of_row)
            partials = partials.set_column(partials.schema.get_field_index(name), partials.schema.field(name), column)
        return merge(partials, KEYS)

    def _admit(self, key: SeriesKey) -> SeriesKey:
        known = self._known.setdefault(key[0], set())
        if key in known or len(known) < self._max:
            known.add(key)
            return key
        tenant, service, _, kind, status = key
        other = (tenant, service, OTHER, kind, status)
        if other not in known and len(known) >= self._max_with_others:
            other = (tenant, OTHER, OTHER, "unspecified", "unset")
        known.add(other)
        return other
