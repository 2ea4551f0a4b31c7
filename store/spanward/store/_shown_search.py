"""Searching for what a reader shows as a tag though it is no attribute of the span.

Jaeger makes tags of a span's own fields, and the policy's verdict is shown as attributes. Whoever copies one of these
into the search box means the field. An attribute of the same key is found as well, but not where a label in force is
shown in its place: there the label counts, never what the span claimed of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import pyarrow as pa

from spanward.processor.policy.span import AttributeValue
from spanward.store._attribute_search import AttributeSearch, Mask, entries, equal, rows_mask
from spanward.store._matching import Wanted


class ShownSearch:
    """Looks at the column behind a shown tag, and for an attribute of that key where both are shown.

    Attributes:
        columns: what `mask` needs of a row.
    """

    def __init__(self, key: str, value: AttributeValue) -> None:
        column, self._test = _LABELS.get(key) or _FIELDS[key]
        self._attribute = AttributeSearch(key, value) if key in _FIELDS else None
        self._wanted = Wanted(value)
        self.columns: tuple[str, ...] = (column, *(self._attribute.columns if self._attribute else ()))

    def mask(self, batch: pa.RecordBatch) -> Mask:
        """One boolean a row."""
        found = self._test(batch.column(self.columns[0]), self._wanted)
        return found if self._attribute is None else found | self._attribute.mask(batch)


def _status(column: pa.Array, wanted: Wanted) -> Mask:
    """A status is shown in capitals and stored in small letters."""
    return equal(column, Wanted((wanted.text or "").lower()))


def _member(column: pa.Array, wanted: Wanted) -> Mask:
    """A list of words is found by each of them, and whole as it is shown."""
    cells = column.to_pylist()
    hits = (bool(cell) and (wanted.text in cell or wanted.equals(cell)) for cell in cells)
    return np.fromiter(hits, np.bool_, len(cells))


def _event_name(column: pa.Array, wanted: Wanted) -> Mask:
    """One of the span's events has the name."""
    names, _, rows = entries(column, column.values.field("name"), None)
    return rows_mask(rows[equal(names, wanted)], len(column))


_Test = Callable[[pa.Array, Wanted], Mask]
_FIELDS: Final[dict[str, tuple[str, _Test]]] = {
    "otel.scope.name": ("scope_name", equal),
    "otel.scope.version": ("scope_version", equal),
    "otel.status_code": ("status_code", _status),
    "otel.status_description": ("status_message", equal),
    "w3c.tracestate": ("trace_state", equal),
    "event": ("events", _event_name),
    "spanward.quality.score": ("quality_score", equal),  # shown only where the program gives none of its own
}
_LABELS: Final[dict[str, tuple[str, _Test]]] = {
    "spanward.classification": ("classification", equal),
    "spanward.retention": ("retention", equal),
    "spanward.pii": ("pii", _member),
    "spanward.quality.violations": ("quality_violations", _member),
}
SHOWN_KEYS: Final = frozenset({*_FIELDS, *_LABELS})
"""The tags that `ShownSearch` knows."""
