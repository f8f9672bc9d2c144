"""Slow start against a fake service and a manual clock, and measured at real endpoints."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from meshwright_plugins.balancers.weighted_round_robin import WeightedRoundRobin
from meshwright_plugins.policies.slow_start import SlowStart
from meshwright_sdk import Context, Metrics
from meshwright_sdk.testing import FakeService, ManualClock, build, check_policy, gateway, make_request
from tests.plugins.policies.configs import config_of
from tests.plugins.policies.upstream import Upstream, running_upstream, who_answers

NEW = "http://10.9.9.9:80"


class Bench:
    """A slow start, a service with a list of the first, and the clock they share."""

    def __init__(self, endpoints: int = 2, **options: Any) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.service = FakeService(endpoints, clock=self.clock, panic_threshold=0.0)
        context = Context(service="orders", clock=self.clock, metrics=self.metrics)
        self.policy = build(SlowStart, context=context, **options)

    @property
    def shares(self) -> list[float]:
        return [each.factors.get("slow_start", 1.0) for each in self.service.endpoints]

    @property
    def count(self) -> float:
        ((_, metric),) = self.metrics.families["meshwright_slow_start_endpoints"].metrics.items()
        return metric.value  # type: ignore[union-attr]


async def test_it_keeps_to_the_contract_of_policies() -> None:
    clock = ManualClock()
    await check_policy(build(SlowStart, clock=clock, window="5s"), wait=clock.advance)


async def test_the_first_endpoints_have_all_of_their_weight() -> None:
    bench = Bench(3)
    async with bench.service.running(bench.policy):
        assert bench.shares == [1.0, 1.0, 1.0]
        assert len(bench.policy.context.tasks) == 0


@pytest.mark.parametrize(
    ("options", "shares"),
    [
        ({"start": "10%"}, [0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0]),
        ({"start": "30%"}, [0.3, 0.3, 0.3, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0]),
        ({"aggression": 2}, [0.1, 0.316, 0.447, 0.548, 0.632, 0.707, 0.775, 0.837, 0.894, 0.949, 1.0, 1.0]),
        ({"aggression": 0.5}, [0.1, 0.1, 0.1, 0.1, 0.16, 0.25, 0.36, 0.49, 0.64, 0.81, 1.0, 1.0]),
    ],
)
async def test_a_new_endpoint_grows_as_the_formula_says(options: dict[str, Any], shares: list[float]) -> None:
    bench = Bench(window="10s", step="500ms", **options)
    async with bench.service.running(bench.policy):
        bench.service.add(NEW)
        seen = [bench.shares[-1]]
        for _ in shares[1:]:
            await bench.clock.advance(1.0)
            seen.append(bench.shares[-1])
            assert bench.shares[:-1] == [1.0, 1.0]
    assert seen == pytest.approx(shares, abs=0.001)


async def test_an_endpoint_that_is_in_again_begins_anew() -> None:
    bench = Bench(window="10s")
    first = bench.service.endpoints[0]
    async with bench.service.running(bench.policy):
        bench.service.group.eject(first, "probes", "status 503")
        bench.service.group.eject(first, "outliers", "5 failures")
        bench.service.group.restore(first, "probes")
        assert bench.shares == [1.0, 1.0]
        bench.service.group.restore(first, "outliers")
        assert bench.shares == [0.1, 1.0]
        await bench.clock.advance(5.0)
        assert bench.shares[0] == pytest.approx(0.5)
        bench.service.group.eject(first, "probes", "status 503")
        assert bench.shares[0] == 1.0
        await bench.clock.advance(2.0)
        bench.service.group.restore(first, "probes")
        assert bench.shares[0] == 0.1
        await bench.clock.advance(10.0)
        assert bench.shares == [1.0, 1.0]


async def test_a_new_endpoint_that_is_out_begins_when_it_is_in() -> None:
    bench = Bench(window="10s")
    async with bench.service.running(bench.policy):
        bench.service.add(NEW)
        new = bench.service.endpoints[-1]
        bench.service.group.eject(new, "probes", "it has not answered yet")
        await bench.clock.advance(9.0)
        bench.service.group.restore(new, "probes")
        assert bench.shares[-1] == 0.1


async def test_there_is_one_ticker_and_only_while_an_endpoint_is_on_its_way() -> None:
    bench = Bench(window="10s")
    tasks = bench.policy.context.tasks
    async with bench.service.running(bench.policy):
        bench.service.add(NEW, "http://10.9.9.10:80", "http://10.9.9.11:80")
        assert (len(tasks), bench.count) == (1, 3)
        assert bench.policy.state() == {"endpoints": {each.url: 0.1 for each in bench.service.endpoints[2:]}}
        await bench.clock.advance(5.0)
        bench.service.add("http://10.9.9.12:80")
        await bench.clock.advance(5.0)
        assert (len(tasks), bench.count) == (1, 1)
        await bench.clock.advance(5.0)
        assert (len(tasks), bench.count) == (0, 0)
        bench.service.add("http://10.9.9.13:80")
        assert (len(tasks), bench.count) == (1, 1)
    assert bench.count == 0


async def test_balancers_see_a_new_list_once_a_step_however_many_are_on_their_way() -> None:
    bench = Bench(window="100s", step="1s")
    seen: list[object] = []
    async with bench.service.running(bench.policy):
        bench.service.add(*(f"http://10.9.9.{n}:80" for n in range(50)))
        for _ in range(100):
            await bench.clock.advance(0.1)
            if not seen or seen[-1] is not bench.service.group.usable:
                seen.append(bench.service.group.usable)
    assert len(seen) <= 12


async def test_a_short_window_has_steps_too() -> None:
    bench = Bench(window="2s", step="1m")
    async with bench.service.running(bench.policy):
        bench.service.add(NEW)
        await bench.clock.advance(1.0)
        assert bench.shares[-1] == pytest.approx(0.5, abs=0.051)


async def test_the_traffic_follows_the_weights() -> None:
    bench = Bench(1, window="10s")
    balancer = build(WeightedRoundRobin)
    async with bench.service.running(bench.policy, balancer):
        bench.service.add(NEW)
        shares = []
        for _ in range(3):
            picks = Counter(balancer.pick(bench.service.group.usable, make_request()) for _ in range(1100))
            shares.append(picks[bench.service.endpoints[1]])
            await bench.clock.advance(5.0)
    assert shares == [100, pytest.approx(367, abs=1), 550]


@pytest.mark.parametrize("options", [{"window": "0s"}, {"start": "200%"}, {"aggression": 0}, {"step": "0s"}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(SlowStart, **options)


def slowed(*upstreams: Upstream, window: str) -> str:
    check = "health_check: {path: /healthz, contains: ready, interval: 20ms, fall: 1, rise: 1}"
    slow_start = f"slow_start: {{window: {window}, start: 10%}}"
    return config_of(upstreams, check, slow_start, service="panic_threshold: 0%")


async def until_share(client: aiohttp.ClientSession, url: str, upstream: Upstream, low: int, high: int) -> None:
    """Ask until so many of 22 answers come from the upstream."""
    async with asyncio.timeout(10):
        while not low <= (await who_answers(client, url, 22))[upstream.url] <= high:
            pass


async def test_a_real_endpoint_that_recovers_begins_with_its_tenth() -> None:
    async with (
        running_upstream() as one,
        running_upstream() as two,
        gateway(slowed(one, two, window="1h")) as gate,
        aiohttp.ClientSession() as client,
    ):
        assert (await who_answers(client, gate.url, 20))[one.url] == 10
        one.healthy = False
        await until_share(client, gate.url, one, 0, 0)
        one.healthy = True
        await until_share(client, gate.url, one, 1, 22)
        assert 18 <= (await who_answers(client, gate.url, 220))[one.url] <= 22


async def test_a_real_endpoint_that_is_new_gets_its_share_in_the_end() -> None:
    async with (
        running_upstream() as one,
        running_upstream() as two,
        gateway(slowed(one, window="1h")) as gate,
        aiohttp.ClientSession() as client,
    ):
        await gate.apply(slowed(one, two, window="1h"))
        assert 9 <= (await who_answers(client, gate.url, 110))[two.url] <= 11
        await gate.apply(slowed(one, two, window="100ms"))
        await gate.apply(slowed(one, window="100ms"))
        await gate.apply(slowed(one, two, window="100ms"))
        await until_share(client, gate.url, two, 11, 11)
