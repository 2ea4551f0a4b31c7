"""Work on a schedule: each job in a task of its own, its runs never overlapping, none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from spanward.sidecar.component import Job
from spanward.store.errors import SpanwardError

_FIRST_RUN_SECONDS: Final = 2.0

_log = logging.getLogger("spanward.scheduler")


class Scheduler:
    """Runs jobs until it is shut down. Call it from the event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()

    def every(self, name: str, seconds: float, job: Job) -> None:
        """Run `job` soon after start and then `seconds` after each end; a failed run is logged and tried again."""
        self._tasks.add(asyncio.create_task(self._run(name, seconds, job), name=name))

    def stop(self) -> None:
        """Begin no more runs; those that are under way go on. Idempotent."""
        self._stopping.set()

    async def shutdown(self) -> None:
        """Begin no more runs and wait for the end of those that are under way. Idempotent.

        A run is not cancelled: most of its work is done in a thread, which would go on behind the back of whoever
        closes what it works on.
        """
        self.stop()
        tasks, self._tasks = self._tasks, set()
        await asyncio.gather(*tasks)

    async def _run(self, name: str, seconds: float, job: Job) -> None:
        await self._pause(min(seconds, _FIRST_RUN_SECONDS))
        while not self._stopping.is_set():
            try:
                await job()
            except SpanwardError as error:
                _log.warning("%s: %s; trying again in %g s", name, error, seconds)
            except Exception:  # noqa: BLE001 - a bug in one job must not end its schedule; it is logged with its trace
                _log.exception("%s: a bug; trying again in %g s", name, seconds)
            await self._pause(seconds)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
