from __future__ import annotations

import asyncio
from random import Random

import pytest

from meshwright_plugins.filters.overload.holding import AT_ONCE_PER_S, HOLDING_S, Holding
from meshwright_sdk import Tasks
from meshwright_sdk.testing import ManualClock

TURN_S = 0.1
HOLD_S = 1.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def holding(clock: ManualClock, *, hold_s: float = HOLD_S, most: int = 10) -> Holding:
    return Holding(hold_s, most, clock, Random(1))


def given_at_once(holding: Holding) -> int:
    """Return how many refusals are given at once before the first that is not, of very many."""
    for given in range(10 * AT_ONCE_PER_S):
        if not holding.gives_at_once():
            return given
    return 10 * AT_ONCE_PER_S


async def turns(holding: Holding, clock: ManualClock, number: int) -> None:
    for _ in range(number):
        await clock.advance(TURN_S)
        holding.turn(TURN_S, clock.monotonic())


async def test_where_there_are_many_refusals_all_are_held_back_for_a_while(clock: ManualClock) -> None:
    refusals = holding(clock)

    at_first = given_at_once(refusals)
    await turns(refusals, clock, round(HOLDING_S / TURN_S))
    soon = given_at_once(refusals)
    await turns(refusals, clock, 2)
    later = given_at_once(refusals)

    assert (at_first, soon, later) == (AT_ONCE_PER_S, 0, AT_ONCE_PER_S)


async def test_few_refusals_are_never_held_back(clock: ManualClock) -> None:
    refusals = holding(clock)
    for _ in range(100):
        assert all(refusals.gives_at_once() for _ in range(round(AT_ONCE_PER_S * TURN_S)))
        await turns(refusals, clock, 1)


async def test_a_pause_allows_no_more_at_once_than_a_second_does(clock: ManualClock) -> None:
    refusals = holding(clock)
    refusals.turn(60.0, clock.monotonic())

    assert given_at_once(refusals) == AT_ONCE_PER_S


def test_without_a_time_to_hold_all_are_given_at_once(clock: ManualClock) -> None:
    refusals = holding(clock, hold_s=0.0)

    assert given_at_once(refusals) == 10 * AT_ONCE_PER_S


async def test_those_that_are_held_leave_together_after_their_time_and_make_room(clock: ManualClock) -> None:
    refusals, tasks = holding(clock, most=100), Tasks()
    given_at_once(refusals)
    for number in range(100):
        tasks.spawn(refusals.wait(), name=f"refusal {number}")
    await clock.advance(HOLD_S / 2 - 0.01)
    assert (refusals.held, refusals.gives_at_once()) == (100, True)

    left: dict[int, None] = {}
    for _ in range(500):
        await clock.advance(0.0025)
        left[refusals.held] = None
    assert len(left) <= 52  # in one second, give or take what is at its ends
    assert (refusals.held, refusals.gives_at_once()) == (0, False)


async def test_a_client_that_leaves_makes_room(clock: ManualClock) -> None:
    refusals, tasks = holding(clock, most=1), Tasks()
    given_at_once(refusals)
    waiting = tasks.spawn(refusals.wait(), name="refusal")
    await clock.advance(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert (refusals.held, refusals.gives_at_once()) == (0, False)
