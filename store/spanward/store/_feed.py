"""Which intake log feeds the lake, written down for processes that only read.

A data folder may hold the logs of several pipelines, and only one of them goes into the lake. Whoever reads the hot
rows from a log must read that one.
"""

from __future__ import annotations

from pathlib import Path

from spanward.store._durable import overwrite
from spanward.store.layout import INTAKE, LAKE

_FEED = "feed"


def note_feed(data: Path, log: Path) -> None:
    """Write down that the log in the folder `log` feeds the lake.

    Raises:
        OSError: the disk refused.
    """
    path = data / LAKE / _FEED
    if feeding_logs(data) == [log]:
        return
    overwrite(path, log.name.encode())


def feeding_logs(data: Path) -> list[Path]:
    """The folder of the log that feeds the lake; all there are in a data folder where nobody wrote it down yet."""
    intake = data / INTAKE
    try:
        return [intake / (data / LAKE / _FEED).read_text(encoding="utf-8")]
    except FileNotFoundError:
        return sorted(path for path in intake.iterdir() if path.is_dir()) if intake.is_dir() else []
