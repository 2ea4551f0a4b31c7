"""Tables that are computed from the log: additive partials, each naming the records it comes from.

Every table has its own application transaction, so that a replay of the log rebuilds what a crash took, once.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from spanward.store.clock import Clock
from spanward.store.delta import LakeTable
from spanward.store.errors import ConfigurationError, PermanentError
from spanward.store.parquet import ordered, plan_files
from spanward.store.snapshot import files_dataset, read


class DerivedTables:
    """The derived tables of one store. Thread-safe."""

    def __init__(self, tables: Mapping[str, LakeTable], app_id: str, clock: Clock) -> None:
        self._tables = tables
        self._app_id = app_id
        self._clock = clock
        self._lock = threading.Lock()
        self._committed = {name: table.transaction(app_id) for name, table in tables.items()}

    def append(self, name: str, rows: pa.Table, *, first: int, last: int) -> None:
        """See `SpanStore.append_table`."""
        table = self.table(name)
        with self._lock:
            table.refresh()
            held = table.transaction(self._app_id)
            if first <= held < last:
                raise PermanentError(f"{name}: records {first}..{last} overlap with {held}, which it holds already")
            if last > held:
                staged = table.stage(list(plan_files(ordered(rows, table.spec), table.spec))) if rows.num_rows else None
                table.commit(staged, transaction=(self._app_id, last), now_ns=self._clock.now_ns())
            self._committed[name] = max(last, held)

    def committed(self, name: str) -> int:
        """The last record that this process knows to be in the table, durably."""
        self.table(name)
        return self._committed[name]

    def read(
        self, name: str, *, tenant: str | None, columns: Sequence[str] | None, condition: pc.Expression | None
    ) -> pa.Table:
        """See `SpanStore.read_table`."""
        table = self.table(name)
        table.refresh()
        dataset = files_dataset(table.files().values(), table)
        if tenant is not None:
            dataset = dataset.filter(ds.field("tenant") == tenant)
        return read(dataset, columns if columns is not None else table.spec.schema.names, condition)

    def table(self, name: str) -> LakeTable:
        """A table by its name.

        Raises:
            ConfigurationError: there is none.
        """
        if name not in self._tables:
            raise ConfigurationError(f"there is no derived table {name!r}; there are: {', '.join(self._tables)}")
        return self._tables[name]
