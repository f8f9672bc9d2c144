from __future__ import annotations

import asyncio
from tempfile import TemporaryFile

import pytest

from meshwright.processes.vitals import Vitals
from meshwright_sdk import Gauge, Metrics, Tasks
from meshwright_sdk.testing import ManualClock


def read(metrics: Metrics, name: str) -> float:
    gauge = metrics.gauge(name, "", worker="0")
    assert isinstance(gauge, Gauge)
    return gauge.value if gauge.read is None else gauge.read()


class LateClock(ManualClock):
    """A clock whose sleepers wake by themselves, each so many seconds late."""

    def __init__(self, *late_s: float) -> None:
        super().__init__()
        self.late_s = list(late_s)
        self.slept = asyncio.Event()

    async def sleep(self, delay_s: float) -> None:
        if not self.late_s:
            self.slept.set()
            await asyncio.Event().wait()
        await self.advance(delay_s + self.late_s.pop(0))


async def test_a_late_loop_is_counted_by_how_late_it_was() -> None:
    metrics, clock, tasks = Metrics(), LateClock(0, 0.2), Tasks()
    tasks.spawn(Vitals(metrics, "0", clock).run(), name="vitals")
    await asyncio.wait_for(clock.slept.wait(), 5)
    await tasks.close()

    lag = metrics.histogram("meshwright_event_loop_lag_seconds", "")
    assert sum(lag.counts) == 2
    assert lag.counts[0] == 1
    assert lag.counts[lag.bounds.index(0.25)] == 1
    assert lag.sum == pytest.approx(0.2)


def test_memory_files_and_start_are_read_from_the_process() -> None:
    metrics, clock = Metrics(), ManualClock()
    Vitals(metrics, "0", clock)

    before = read(metrics, "process_open_fds")
    with TemporaryFile():
        during = read(metrics, "process_open_fds")

    assert during == before + 1
    assert read(metrics, "process_resident_memory_bytes") > 2**20
    assert read(metrics, "process_start_time_seconds") == clock.wall()


def test_two_workers_of_one_sum_stay_apart() -> None:
    metrics = Metrics()
    Vitals(metrics, "0")
    Vitals(metrics, "1")

    labels = set(metrics.families["process_open_fds"].metrics)

    assert labels == {(("worker", "0"),), (("worker", "1"),)}
