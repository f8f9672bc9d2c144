from __future__ import annotations

import asyncio

from meshwright_sdk import SystemClock, Tasks
from meshwright_sdk.testing import ManualClock


async def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(monotonic=5, wall=100)
    before = (clock.monotonic(), clock.wall())
    await clock.advance(2.5)

    assert before == (5, 100)
    assert (clock.monotonic(), clock.wall()) == (7.5, 102.5)


async def test_sleepers_wake_in_the_order_of_their_times_and_see_them() -> None:
    clock, tasks, woken = ManualClock(monotonic=0), Tasks(), []

    async def sleeper(delay_s: float) -> None:
        await clock.sleep(delay_s)
        woken.append((delay_s, clock.monotonic()))
        await clock.sleep(1)
        woken.append((delay_s + 1, clock.monotonic()))

    for delay_s in (3, 1, 2.5):
        tasks.spawn(sleeper(delay_s), name="sleeper")
    await clock.advance(2.9)
    early = list(woken)
    await clock.advance(10)

    assert early == [(1, 1), (2, 2), (2.5, 2.5)]
    assert woken[3:] == [(3, 3), (3.5, 3.5), (4, 4)]


async def test_a_cancelled_sleeper_stops_no_other() -> None:
    clock, tasks, woken = ManualClock(), Tasks(), []

    async def sleeper(delay_s: float) -> None:
        await clock.sleep(delay_s)
        woken.append(delay_s)

    first, _ = (tasks.spawn(sleeper(delay_s), name="sleeper") for delay_s in (1, 2))
    await clock.advance(0)
    first.cancel()
    await clock.advance(5)

    assert woken == [2]


async def test_no_time_needs_no_moving() -> None:
    async with asyncio.timeout(1):
        await ManualClock().sleep(0)
        await SystemClock().sleep(0)
    assert SystemClock().monotonic() <= SystemClock().monotonic()
