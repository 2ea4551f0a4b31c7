"""A system monitor: samples this machine, and records each sample as an event; the policy says what is out of range.

python examples/system_monitor.py --lake ./lake --samples 20      (or --endpoint http://127.0.0.1:4317)
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time

import psutil

from spanward.sdk import Pipeline


def sample() -> dict[str, float]:
    """What the machine is doing now."""
    memory, disk = psutil.virtual_memory(), psutil.disk_usage(os.curdir)
    return {
        "cpu_percent": psutil.cpu_percent(interval=None),
        "memory_percent": memory.percent,
        "disk_percent": disk.percent,
        "processes": float(len(psutil.pids())),
    }


async def watch(pipeline: Pipeline, samples: int, interval_seconds: float) -> None:
    """Sample, record, wait, and so on; alarms are recorded at once, samples with their batch."""
    process = psutil.Process()
    for _ in range(samples):
        started = time.perf_counter()
        values = await asyncio.to_thread(sample)
        await pipeline.collect_event(
            "system.sample",
            component="system-monitor",
            output=values,
            processing_time_ms=(time.perf_counter() - started) * 1e3,
            memory_mb=process.memory_info().rss / 2**20,
            cpu_percent=values["cpu_percent"],
            classification="public",
            retention="7d",
        )
        if values["disk_percent"] > 95:
            alarm = await pipeline.process_operation(
                "system.alarm",
                "system-monitor",
                "disk full",
                output=values,
                success=False,
                error="the disk is nearly full",
            )
            print(f"alarm {alarm.link}")
        await asyncio.sleep(interval_seconds)


async def run(endpoint: str | None, lake: str | None, samples: int, interval_seconds: float) -> None:
    """Watch for a while."""
    async with Pipeline(endpoint, lake=lake, service_name="system-monitor", batch_size=100) as pipeline:
        await watch(pipeline, samples, interval_seconds)
        await pipeline.flush()
        status = pipeline.status()
    print(f"{status.stored} of {status.accepted} events stored in {status.batches} writes")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="system monitor")
    arguments.add_argument("--lake")
    arguments.add_argument("--endpoint")
    arguments.add_argument("--samples", type=int, default=20)
    arguments.add_argument("--interval", type=float, default=0.05, help="seconds between samples")
    given = arguments.parse_args()
    asyncio.run(run(given.endpoint, given.lake, given.samples, given.interval))
