from __future__ import annotations

import asyncio
from typing import cast

from meshwright.processes.crew import LONGEST_PAUSE_S, pause_before_replacing_s
from meshwright.processes.probe import MISSES, watch
from meshwright.processes.remote import RemoteWorker
from meshwright_sdk import Tasks


def test_the_first_death_is_replaced_at_once_and_later_ones_ever_more_hesitantly() -> None:
    pauses = [pause_before_replacing_s(deaths) for deaths in range(1, 6)]

    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0]


def test_the_pause_has_a_bound() -> None:
    assert pause_before_replacing_s(100_000) == LONGEST_PAUSE_S


class Asked:
    """A worker of which only the status can be asked; it answers until `silent`."""

    name = "0"
    pid = 1000

    def __init__(self) -> None:
        self.silent = False
        self.preparing = 0
        self._asked = asyncio.Semaphore(0)
        self.given_up = asyncio.Event()

    async def status(self) -> dict[str, object]:
        self._asked.release()
        if self.silent:
            await asyncio.Event().wait()
        return {}

    async def asked(self, times: int) -> None:
        """Return when it was asked so many times more."""
        for _ in range(times):
            await self._asked.acquire()

    def give_up(self) -> None:
        self.given_up.set()


async def test_a_worker_that_stops_answering_is_given_up() -> None:
    worker, tasks = Asked(), Tasks()
    watching = tasks.spawn(watch(cast("RemoteWorker", worker), 0.01), name="watch")
    await worker.asked(5)
    assert not worker.given_up.is_set()

    worker.silent = True
    await asyncio.wait_for(watching, 5)

    assert worker.given_up.is_set()


async def test_a_worker_that_prepares_may_be_silent() -> None:
    worker, tasks = Asked(), Tasks()
    worker.silent, worker.preparing = True, 1
    watching = tasks.spawn(watch(cast("RemoteWorker", worker), 0.001), name="watch")
    await worker.asked(2 * MISSES)
    assert not worker.given_up.is_set()

    worker.preparing = 0
    await asyncio.wait_for(watching, 5)

    assert worker.given_up.is_set()
