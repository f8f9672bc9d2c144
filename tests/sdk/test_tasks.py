from __future__ import annotations

import asyncio

import pytest

from meshwright_sdk import Tasks


async def test_work_runs_beside_the_caller_and_is_forgotten_when_it_has_ended() -> None:
    tasks = Tasks()

    async def work() -> int:
        return 7

    task = tasks.spawn(work(), name="work")
    running = len(tasks)

    assert (running, await task, task.get_name()) == (1, 7, "work")
    assert len(tasks) == 0


async def test_a_failure_is_logged_with_the_name(caplog: pytest.LogCaptureFixture) -> None:
    tasks = Tasks()

    async def fail() -> None:
        raise KeyError("oops")

    await asyncio.wait([tasks.spawn(fail(), name="probe of orders")])

    assert "background task probe of orders failed" in caplog.text
    assert "KeyError: 'oops'" in caplog.text


async def test_closing_cancels_and_waits(caplog: pytest.LogCaptureFixture) -> None:
    tasks, ended = Tasks(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("work")

    task = tasks.spawn(work(), name="work")
    await asyncio.sleep(0)
    await tasks.close()

    assert (ended, task.cancelled(), len(tasks), caplog.text) == (["work"], True, 0, "")


async def test_what_ends_within_the_grace_is_not_cancelled() -> None:
    tasks, released = Tasks(), asyncio.Event()

    async def last() -> str:
        await released.wait()
        return "done"

    task = tasks.spawn(last(), name="last")
    await asyncio.sleep(0)
    asyncio.get_running_loop().call_soon(released.set)
    await tasks.close(grace_s=5)

    assert task.result() == "done"


async def test_a_task_may_close_its_own_group() -> None:
    tasks, steps = Tasks(), []

    async def end() -> None:
        await tasks.close()
        steps.append("closed")

    other = tasks.spawn(asyncio.Event().wait(), name="other")
    await tasks.spawn(end(), name="end")

    assert (steps, other.cancelled()) == (["closed"], True)


async def test_closing_nothing_does_nothing() -> None:
    await Tasks().close(grace_s=1)
