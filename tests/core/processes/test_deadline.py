from __future__ import annotations

import asyncio
import threading

import pytest

from meshwright.processes.deadline import OVERDUE, Deadline
from meshwright_sdk import Tasks


class Exits:
    """Stands for the end of the process, and takes note of the code."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._code = self._loop.create_future()

    def __call__(self, code: int) -> None:
        self._loop.call_soon_threadsafe(self._code.set_result, code)

    async def code(self) -> int:
        return await asyncio.wait_for(self._code, 5)

    @property
    def happened(self) -> bool:
        return self._code.done()


async def test_a_process_that_is_overdue_is_ended_and_what_still_runs_is_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exits = Exits()
    tasks = Tasks()
    tasks.spawn(asyncio.Event().wait(), name="close of filter slow")
    Deadline(exits).set(0.01)

    assert await exits.code() == OVERDUE
    await tasks.close()
    assert "task close of filter slow (" in caplog.text
    assert "thread MainThread (" in caplog.text


async def test_setting_it_again_replaces_what_was_set() -> None:
    exits = Exits()
    deadline = Deadline(exits)
    deadline.set(60, 1)
    deadline.set(0.01, 0)

    assert await exits.code() == 0


async def test_a_deadline_that_is_closed_ends_nothing() -> None:
    exits, before = Exits(), set(threading.enumerate())
    deadline = Deadline(exits)
    (thread,) = set(threading.enumerate()) - before
    deadline.set(60)
    deadline.close()
    deadline.set(0.0)
    await asyncio.to_thread(thread.join, 5)

    assert not thread.is_alive()
    assert not exits.happened
