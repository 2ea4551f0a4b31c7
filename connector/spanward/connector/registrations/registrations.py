"""Registrations that came as spans, put on record.

`Pipeline.register` with an endpoint sends a span `spanward.register` whose attribute `spanward.registration.target`
names an event or a lake file; its labels are those that the target shall have. The compliance store keeps who said so
and when.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow.compute as pc

from spanward.sidecar.component import Host
from spanward.store.batch import Batch
from spanward.store.values import loads

SPAN_NAME: Final = "spanward.register"
TARGET: Final = "spanward.registration.target"
TAGS: Final = "spanward.privacy.tags"

_COLUMNS: Final = ["trace_id", "span_id", "classification", "retention", "attributes_str", "attributes_json"]


class RegistrationsConnector:
    """Copies registration spans into the compliance store, each once."""

    def __init__(self, host: Host) -> None:
        self._compliance = host.store.compliance
        self._logger = host.logger
        self._sequence = 0

    async def start(self) -> None:
        """Nothing to open."""

    async def consume(self, batch: Batch) -> None:
        """Put the batch's registrations on record.

        Raises:
            StoreError: the compliance store cannot be written; the batch comes again.
        """
        for row in registrations(batch):
            await asyncio.to_thread(self._record, row)
        self._sequence = max(self._sequence, batch.sequence)

    def committed(self) -> int:
        """What was consumed is on record."""
        return self._sequence

    async def shutdown(self) -> None:
        """Nothing to close."""

    def _record(self, row: Mapping[str, Any]) -> None:
        attributes = dict(row["attributes_str"])
        target = attributes.get(TARGET, "")
        # the span is the proof of who said it, and what makes a replayed batch recognisable
        actor = f"span {row['trace_id']}:{row['span_id']}"
        if not target:
            self._logger.warning("%s names no %s; nothing was registered", actor, TARGET)
        elif all(known.actor != actor for known in self._compliance.registrations(target)):
            self._compliance.register(
                target,
                kind="file" if target.endswith(".parquet") else "event",
                classification=row["classification"],
                retention=row["retention"],
                privacy_tags=_tags(dict(row["attributes_json"]).get(TAGS)),
                actor=actor,
            )


def registrations(batch: Batch) -> Iterator[dict[str, Any]]:
    """The registration spans of a batch, as rows."""
    found = batch.rows.filter(pc.field("name") == SPAN_NAME)
    yield from found.select(_COLUMNS).to_pylist()


def _tags(text: str | None) -> list[str]:
    value = loads(text) if text else None
    return [tag for tag in value if isinstance(tag, str)] if isinstance(value, list) else []
