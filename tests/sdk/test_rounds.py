from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise
from random import Random

import pytest

from meshwright_sdk import Context, Endpoint, Rounds, Tasks
from meshwright_sdk.testing import FakeService, ManualClock


class Bench:
    """Rounds to the endpoints of a fake service, which note when they were visited."""

    def __init__(self, *, interval_s: float = 10.0, jitter: float = 0.0, concurrency: int = 32) -> None:
        self.clock = ManualClock()
        self.tasks = Tasks()
        self.visits: list[tuple[float, Endpoint]] = []
        self.under_way = 0
        self.lasts = False
        self.fails = False
        context = Context(place="test", clock=self.clock, tasks=self.tasks, random=Random(1))
        self.rounds = Rounds(self.visit, context, interval_s=interval_s, jitter=jitter, concurrency=concurrency)

    async def visit(self, endpoint: Endpoint) -> None:
        self.visits.append((self.clock.monotonic(), endpoint))
        self.under_way += 1
        try:
            if self.fails:
                raise KeyError(endpoint.url)
            if self.lasts:
                await asyncio.Event().wait()
        finally:
            self.under_way -= 1


async def test_an_endpoint_is_visited_within_a_second_and_then_in_every_interval() -> None:
    bench = Bench(interval_s=10.0)
    (endpoint,) = FakeService(1).endpoints
    bench.rounds.begin(endpoint)
    await bench.clock.advance(100.0)
    times = [time for time, _ in bench.visits]
    assert times[0] - 1000.0 < 1.0
    assert times[1] - times[0] < 10.0
    assert [after - before for before, after in pairwise(times[1:])] == pytest.approx([10.0] * (len(times) - 2))
    assert len(times) in (10, 11, 12)
    await bench.tasks.close()


async def test_intervals_differ_by_chance_within_the_jitter() -> None:
    bench = Bench(interval_s=10.0, jitter=0.2)
    bench.rounds.begin(FakeService(1).endpoints[0])
    await bench.clock.advance(2000.0)
    gaps = [after - before for (before, _), (after, _) in pairwise(bench.visits[1:])]
    assert len(gaps) > 150
    assert min(gaps) < 8.5
    assert max(gaps) > 11.5
    assert all(8.0 <= gap <= 12.0001 for gap in gaps)
    await bench.tasks.close()


async def test_a_thousand_endpoints_are_neither_visited_at_once_nor_in_step() -> None:
    bench = Bench(interval_s=10.0, jitter=0.1)
    for endpoint in FakeService(1000).endpoints:
        bench.rounds.begin(endpoint)
    await bench.clock.advance(0.1)
    assert len(bench.visits) < 200
    await bench.clock.advance(0.9)
    assert len({endpoint for _, endpoint in bench.visits}) == 1000
    await bench.clock.advance(39.0)
    by_second = Counter(int(time) for time, _ in bench.visits if time > 1012)
    assert max(by_second.values()) < 200
    assert 2500 < sum(by_second.values()) < 3000
    await bench.tasks.close()


async def test_so_many_visits_are_under_way_at_most() -> None:
    bench = Bench(concurrency=7)
    bench.lasts = True
    for endpoint in FakeService(50).endpoints:
        bench.rounds.begin(endpoint)
    await bench.clock.advance(5.0)
    assert bench.under_way == 7
    await bench.tasks.close()
    assert bench.under_way == 0


async def test_an_end_cancels_the_visit_and_gives_its_place_back() -> None:
    bench = Bench(concurrency=1)
    bench.lasts = True
    first, second = FakeService(2).endpoints
    bench.rounds.begin(first)
    await bench.clock.advance(1.0)
    bench.rounds.begin(second)
    await bench.clock.advance(1.0)
    assert [endpoint for _, endpoint in bench.visits] == [first]
    bench.rounds.end(first)
    bench.rounds.end(first)
    await bench.clock.advance(1.0)
    assert [endpoint for _, endpoint in bench.visits] == [first, second]
    assert len(bench.tasks) == 1
    await bench.tasks.close()


async def test_a_visit_that_fails_is_logged_and_comes_again(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(interval_s=1.0)
    bench.fails = True
    bench.rounds.begin(FakeService(1).endpoints[0])
    await bench.clock.advance(5.0)
    assert len(bench.visits) > 3
    assert "test: the visit to http://10.0.0.1:8000 failed" in caplog.text
    await bench.tasks.close()
