from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from benchmarks.simulation.__main__ import play
from benchmarks.simulation.fleet import Plan
from benchmarks.simulation.page import write_page
from benchmarks.simulation.virtual_time import VirtualLoop

SMALL = Plan(endpoints=20, gateways=4, seconds=5.0, slow_share=0.0)
RETRY = ("retry", {"on": ["503"], "attempts": 3, "backoff": "1ms", "max_backoff": "2ms", "budget": "20%"})


def test_virtual_time_goes_by_without_waiting() -> None:
    async def hour() -> float:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await asyncio.sleep(3600)
        return loop.time() - began_s

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        assert runner.run(hour()) == pytest.approx(3600)


def test_no_connection_can_be_opened() -> None:
    async def connect() -> None:
        await asyncio.get_running_loop().create_connection(asyncio.Protocol, "127.0.0.1", 1)

    with (
        asyncio.Runner(loop_factory=VirtualLoop) as runner,
        pytest.raises(RuntimeError, match="expected no connection"),
    ):
        runner.run(connect())


def test_every_request_is_served_once_where_nothing_fails() -> None:
    seen = play(SMALL)

    assert seen.asked == sum(seen.loads) == len(seen.times) > 500
    assert seen.failed == 0


def test_the_same_seed_plays_the_same() -> None:
    assert play(SMALL).times == play(SMALL).times
    assert play(replace(SMALL, seed=2)).times != play(SMALL).times


def test_turns_spread_more_evenly_than_chance() -> None:
    turns, chance = (play(replace(SMALL, balancer=name)) for name in ("round_robin", "random"))

    assert max(turns.loads) - min(turns.loads) < max(chance.loads) - min(chance.loads)


def test_a_budget_bounds_what_a_dead_fleet_gets() -> None:
    seen = play(replace(SMALL, failing_share=1.0, filters=[RETRY]))

    assert seen.failed == seen.asked
    assert 1.1 < sum(seen.loads) / seen.asked <= 1.2


def test_the_page_has_a_row_for_each_play() -> None:
    seen = play(SMALL)

    text = write_page(SMALL, [("random", seen)], [("no retries", 0.3, seen)], write=False)

    assert "| `random`" in text
    assert "| no retries" in text
