"""`Vitals`: how a worker's process and event loop are doing, as metrics; what it serves is counted elsewhere."""

from __future__ import annotations

import os
import time

from meshwright_sdk import Clock, Metrics, SystemClock

LAG_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
SAMPLE_EVERY_S = 0.5


class Vitals:
    """Lag of the event loop, processor time, memory and open files of this process.

    All but the lag carry the label `worker`, because their sum would say nothing.
    """

    def __init__(self, metrics: Metrics, worker: str, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lag = metrics.histogram(
            "meshwright_event_loop_lag_seconds", "How late the event loop woke a timer.", LAG_BUCKETS_S
        )
        self._cpu = metrics.counter("process_cpu_seconds_total", "Processor time used.", worker=worker)
        metrics.gauge("process_resident_memory_bytes", "Memory held in RAM.", _resident_bytes, worker=worker)
        metrics.gauge("process_open_fds", "Open file descriptors.", _open_files, worker=worker)
        started = metrics.gauge("process_start_time_seconds", "Start, in seconds since 1970-01-01.", worker=worker)
        started.value = self._clock.wall()

    async def run(self) -> None:
        """Take samples until cancelled."""
        while True:
            due = self._clock.monotonic() + SAMPLE_EVERY_S
            await self._clock.sleep(SAMPLE_EVERY_S)
            self._lag.observe(max(0.0, self._clock.monotonic() - due))
            self._cpu.value = time.process_time()


def _resident_bytes() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _open_files() -> float:
    return len(os.listdir("/proc/self/fd")) - 1  # the folder itself is open while it is read
