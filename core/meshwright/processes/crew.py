"""The workers of one machine, kept running: one in this process, or several in processes of their own."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from meshwright.processes.control import Control
from meshwright.processes.deadline import STOP_S
from meshwright.processes.ports import Ports
from meshwright.processes.probe import watch
from meshwright.processes.remote import EXIT_S, RemoteWorker
from meshwright_sdk import Clock, ConfigError, SystemClock, Tasks

logger = logging.getLogger("meshwright.supervisor")

STEADY_S = 30.0
"""A worker that lived for so long was not ended by its own start."""
LONGEST_PAUSE_S = 15.0
CREW_STOP_S = STOP_S + 2 * EXIT_S
"""How much longer than the grace the stop of a crew may take: each worker ends itself, or else is killed."""


class Crew(Protocol):
    """What the supervisor wants of its workers."""

    async def start(self) -> None:
        """Have every worker serve the version in use; raises ConfigError."""

    async def stop(self, grace_s: float) -> None:
        """Drain all workers and end them; raises TimeoutError when one had to be killed."""

    async def close(self) -> None:
        """End at once whatever still runs."""


class LocalCrew:
    """The one worker in this process."""

    def __init__(self, control: Control, ports: Ports) -> None:
        from meshwright.processes.worker import LocalWorker  # a supervisor of other processes carries no traffic

        self._control = control
        self._worker = LocalWorker("0", ports.numbers)

    async def start(self) -> None:
        """Have it serve."""
        await self._control.admit([self._worker])

    async def stop(self, grace_s: float) -> None:
        """Drain it."""
        await self._worker.stop(grace_s)

    async def close(self) -> None:
        """Leave the rest to the end of the process."""


class ProcessCrew:
    """Worker processes; one that ends is replaced, the more hesitantly the more often it ends soon."""

    def __init__(self, control: Control, ports: Ports, count: int, clock: Clock | None = None) -> None:
        self._control = control
        self._ports = ports
        self._names = [str(number) for number in range(count)]
        self._clock = clock or SystemClock()
        self._workers: dict[str, RemoteWorker] = {}
        self._keepers = Tasks()
        self._deaths = control.counts.counter("meshwright_worker_deaths_total", "Workers that ended unasked.")

    async def start(self) -> None:
        """Start all of them side by side."""
        workers = await asyncio.gather(*(self._start(name) for name in self._names))
        await self._control.admit(workers)
        for worker in workers:
            self._keepers.spawn(self._keep(worker), name=f"keeper of worker {worker.name}")

    async def stop(self, grace_s: float) -> None:
        """Drain them side by side."""
        await self._keepers.close()
        stops = (worker.stop(grace_s) for worker in self._workers.values())
        for ending in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(ending, BaseException):
                raise ending

    async def close(self) -> None:
        """Kill those that still run."""
        await self._keepers.close()
        for worker in self._workers.values():
            worker.give_up()
        await asyncio.gather(*(worker.wait() for worker in self._workers.values()))

    async def _start(self, name: str) -> RemoteWorker:
        worker = self._workers[name] = await RemoteWorker.start(name, self._ports.numbers)
        return worker

    async def _keep(self, worker: RemoteWorker) -> None:
        """Replace the worker, and then the replacement, and so on."""
        deaths = 0
        while True:
            began = self._clock.monotonic()
            ending = await self._end_of(worker)
            self._control.fleet.leave(worker)
            self._deaths.value += 1
            deaths = 1 if self._clock.monotonic() - began >= STEADY_S else deaths + 1
            pause_s = pause_before_replacing_s(deaths)
            logger.error("worker %s (process %d) %s; replaced in %g s", worker.name, worker.pid, ending, pause_s)
            await self._clock.sleep(pause_s)
            worker = await self._replace(worker.name)
            await self._admit(worker)

    async def _end_of(self, worker: RemoteWorker) -> str:
        """Return how the worker ended, be it by itself or because it stopped answering."""
        watching = Tasks()
        watching.spawn(watch(worker), name=f"watch of worker {worker.name}")
        try:
            return await worker.wait()
        finally:
            await watching.close()

    async def _replace(self, name: str) -> RemoteWorker:
        while True:
            try:
                return await self._start(name)
            except OSError as error:
                logger.error("worker %s: no process can be started: %s", name, error)
                await self._clock.sleep(LONGEST_PAUSE_S)

    async def _admit(self, worker: RemoteWorker) -> None:
        try:
            await self._control.admit([worker])
        except ConfigError as error:
            logger.error("worker %s cannot take the version in use:", worker.name)
            for problem in error.problems:
                logger.error("%s", problem)
            worker.give_up()
        else:
            logger.info("worker %s (process %d) serves", worker.name, worker.pid)


def pause_before_replacing_s(deaths: int) -> float:
    """Return how long to wait after so many deaths in a row, each soon after its start; not at all after the first."""
    return 0.0 if deaths <= 1 else min(0.25 * 2.0 ** min(deaths - 2, 10), LONGEST_PAUSE_S)
