from __future__ import annotations

import asyncio
from collections.abc import Generator

import pytest

from meshwright_sdk import SideWork, Tasks
from meshwright_sdk.testing import ManualClock


def counted(done: list[str], name: str, steps: int) -> Generator[None, None, str]:
    for _ in range(steps):
        done.append(name)
        yield
    return f"{name} is done"


async def test_it_returns_what_the_work_does_and_gives_the_loop_a_turn_after_each_step() -> None:
    done, turns = list[str](), 0
    work = Tasks().spawn(SideWork(ManualClock().monotonic).run(counted(done, "a", 5)), name="work")
    while not work.done():
        await asyncio.sleep(0)
        turns += 1
        assert len(done) <= turns

    assert (work.result(), done) == ("a is done", ["a"] * 5)


async def test_several_computations_take_turns_and_a_turn_of_the_loop_has_one_step() -> None:
    done, side_work, tasks = list[str](), SideWork(ManualClock().monotonic), Tasks()
    works = [tasks.spawn(side_work.run(counted(done, name, 4)), name=name) for name in "abc"]
    while len(tasks):
        before = len(done)
        await asyncio.sleep(0)
        assert len(done) <= before + 1

    assert done == list("abc") * 4
    assert [work.result() for work in works] == ["a is done", "b is done", "c is done"]


async def test_where_turns_are_long_a_tenth_of_the_time_is_spent_on_all_that_is_under_way() -> None:
    clock, done, tasks = ManualClock(), list[str](), Tasks()
    side_work = SideWork(clock.monotonic)

    def slow(name: str) -> Generator[None, None, str]:
        for step in counted(done, name, 20):
            clock._now += 0.001
            yield step
        return name

    works = [tasks.spawn(side_work.run(slow(name)), name=name) for name in "ab"]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for others_s, steps in ((0.0, 1), (0.005, 1), (0.039, 4), (0.039, 4), (0.0, 1)):
        before = len(done)
        clock._now += others_s
        await asyncio.sleep(0)
        assert len(done) - before == steps

    assert [await work for work in works] == ["a", "b"]
    assert done == list("ab") * 20


async def test_what_the_work_raises_is_raised_and_the_others_go_on() -> None:
    def failing() -> Generator[None, None, None]:
        yield
        raise ZeroDivisionError

    done, side_work = list[str](), SideWork(ManualClock().monotonic)
    other = Tasks().spawn(side_work.run(counted(done, "a", 3)), name="a")
    with pytest.raises(ZeroDivisionError):
        await side_work.run(failing())

    assert await other == "a is done"


async def test_of_work_that_is_cancelled_no_further_step_is_done_and_the_others_go_on() -> None:
    done, side_work, tasks = list[str](), SideWork(ManualClock().monotonic), Tasks()
    one, other = (tasks.spawn(side_work.run(counted(done, name, 9)), name=name) for name in "ab")
    for _ in range(4):
        await asyncio.sleep(0)
    one.cancel()
    before = done.count("a")

    assert await other == "b is done"
    assert done.count("a") == before
    assert one.cancelled()
