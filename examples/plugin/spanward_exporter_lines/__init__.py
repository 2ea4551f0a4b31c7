"""A whole exporter in forty lines: appends one line a span to a text file."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from spanward.sidecar.component import Config, Factory, Host
from spanward.store.batch import Batch
from spanward.store.errors import ConfigurationError


class LinesConfig(Config):
    """What a user sets."""

    path: Path
    """The file to append to."""


class LinesExporter:
    """Writes `trace_id service operation` lines; keeps nothing, so a replayed batch is written again."""

    def __init__(self, config: LinesConfig, host: Host) -> None:
        self._path, self._log = config.path, host.logger
        self._file: TextIO | None = None
        self._last = 0

    async def start(self) -> None:
        try:
            self._file = self._path.open("a", encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"exporters.lines.path: cannot write {self._path}: {error.strerror}") from error

    async def consume(self, batch: Batch) -> None:
        assert self._file is not None
        for row in batch.rows.select(["trace_id", "service_name", "name"]).to_pylist():
            self._file.write(f"{row['trace_id']} {row['service_name']} {row['name']}\n")
        self._file.flush()
        self._last = batch.sequence

    def committed(self) -> int:
        return self._last

    async def shutdown(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


factory = Factory(config=LinesConfig, create=LinesExporter)
