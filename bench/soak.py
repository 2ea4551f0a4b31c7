"""Kill the sidecar over and over under load, and compare what is stored with what was acknowledged, span by span.

    python bench/soak.py [--rounds 60] [--minutes 0] [--seed N] [--folder DIR] [--json]

Six clients send over gRPC and HTTP and repeat what got no answer. SIGKILL comes at random moments, some of them while
the sidecar starts; commits, trimming, retention and compaction run several times a second. It ends after `--rounds`
kills or `--minutes`, whichever is first, or at the first loss or double. Exit code 0 only if there was none.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOT: Final = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # run as a file, Python looks beside it; the packages are one up

from bench.machine import describe  # noqa: E402 - the line above makes it importable
from tests.support.crash import Campaign, Figures  # noqa: E402

_LOAD_SECONDS: Final = (0.1, 3.0)
_AUDIT_EVERY: Final = 3


def main() -> int:
    """Run a campaign; 0 when nothing was lost or doubled."""
    options = _arguments()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
    console = Console(stderr=True)
    with tempfile.TemporaryDirectory(prefix="spanward-soak-") as temporary:
        folder = options.folder or Path(temporary)
        figures = soak(folder, seed, options.rounds, options.minutes, console)
    summary = summarize(figures, seed)
    if options.json:
        print(json.dumps(summary, indent=2))
    else:
        show(summary, Console())
    for problem in figures.problems:
        console.print(problem, style="red", markup=False, highlight=False)
    return 1 if figures.problems else 0


def soak(folder: Path, seed: int, rounds: int, minutes: float, console: Console) -> Figures:
    """A campaign with a progress bar."""
    end = time.monotonic() + 60 * minutes if minutes else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("kills", total=rounds or None)

        def goes_on(figures: Figures) -> bool:
            progress.update(task, completed=figures.kills)
            return not (rounds and figures.kills >= rounds) and not (end and time.monotonic() >= end)

        campaign = Campaign(folder, seed=seed, load_seconds=_LOAD_SECONDS, audit_every=_AUDIT_EVERY)
        return campaign.run(goes_on)


def summarize(figures: Figures, seed: int) -> dict[str, Any]:
    """The figures of a campaign, and where they are from."""
    content = asdict(figures)
    for name in ("ready_seconds", "drain_seconds"):
        times = content.pop(name)
        content[f"{name}_p50"] = round(statistics.median(times), 2) if times else None
        content[f"{name}_max"] = round(max(times), 2) if times else None
    return {**content, "seconds": round(figures.seconds, 1), "seed": seed, "machine": describe()}


def show(summary: dict[str, Any], console: Console) -> None:
    """The summary for people."""
    table = Table("figure", "value")
    for name, value in summary.items():
        if name not in {"machine", "problems"}:
            table.add_row(name.replace("_", " "), f"{value:,}" if isinstance(value, int | float) else str(value))
    table.add_row("problems", str(len(summary["problems"])))
    console.print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60, help="kills; 0 for no bound")
    parser.add_argument("--minutes", type=float, default=0.0, help="time for the kills; 0 for no bound")
    parser.add_argument("--seed", type=int, default=None, help="repeats the clients' and the killer's choices")
    parser.add_argument("--folder", type=Path, default=None, help="keep data and logs there instead of removing them")
    parser.add_argument("--json", action="store_true", help="print JSON for programs")
    options = parser.parse_args()
    if not options.rounds and not options.minutes:
        parser.error("give --rounds or --minutes, or it never ends")
    return options


if __name__ == "__main__":
    sys.exit(main())
