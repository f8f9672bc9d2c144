from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright_plugins.policies.endpoint_breaker import EndpointBreaker
from meshwright_sdk import Attempt, ConnectError, Context, Gauge, Metrics, OverloadError, UpstreamTimeoutError
from meshwright_sdk.testing import FakeService, ManualClock, build, check_policy
from tests.plugins.policies.backends import three_backends


@asynccontextmanager
async def service_with(
    clock: ManualClock, endpoints: int = 3, /, metrics: Metrics | None = None, **options: Any
) -> AsyncIterator[tuple[FakeService, EndpointBreaker]]:
    context = Context(clock=clock, service="orders", metrics=metrics or Metrics())
    options = {"consecutive_failures": 2, "open_for": "10s", "trials": 1, "successes": 2, **options}
    breaker = build(EndpointBreaker, context=context, **options)
    async with FakeService(endpoints, clock=clock, name="orders").running(breaker) as service:
        yield service, breaker


def out(service: FakeService) -> dict[str, str]:
    """Return why endpoints are out, by URL."""
    return {each.url: each.ejections["endpoint_breaker"] for each in service.endpoints if each.ejections}


def states(breaker: EndpointBreaker) -> list[str]:
    return [each["state"] for each in breaker.state()["endpoints"].values()]


async def test_it_holds_to_the_contract_of_policies() -> None:
    clock = ManualClock()
    await check_policy(
        build(EndpointBreaker, clock=clock, consecutive_failures=2, open_for="2s", trials=1, slow_after="20ms"),
        wait=clock.advance,
    )


async def test_an_endpoint_that_fails_is_taken_out_and_the_others_stay() -> None:
    async with service_with(ManualClock()) as (service, _):
        bad, *others = service.endpoints
        service.play(bad, 500)
        before = out(service)
        service.play(bad, ConnectError("no"))
        for each in others:
            service.play(each, 200, 404, 200)

        assert before == {}
        assert out(service) == {bad.url: "open: failures in a row: 2"}
        assert list(service.group.usable) == others


@pytest.mark.parametrize("outcome", [asyncio.CancelledError(), OverloadError("no"), 404, 429], ids=repr)
async def test_what_is_not_its_fault_does_not_take_it_out(outcome: int | BaseException) -> None:
    async with service_with(ManualClock()) as (service, breaker):
        service.play(service.endpoints[0], *[outcome] * 5)

        assert (out(service), states(breaker)) == ({}, ["closed"] * 3)


async def test_slow_answers_take_it_out() -> None:
    async with service_with(ManualClock(), slow_after="1s", min_requests=2) as (service, _):
        service.play(service.endpoints[0], 200, 200, seconds=1.0)
        service.play(service.endpoints[1], 200, 200, seconds=0.999)

        assert out(service) == {service.endpoints[0].url: "open: 2 of 2 calls were slow"}


async def test_it_is_put_back_when_its_time_is_over_also_without_traffic() -> None:
    clock = ManualClock()
    async with service_with(clock) as (service, breaker):
        service.play(service.endpoints[0], 500, 500)
        await clock.advance(9.9)
        before = out(service)
        await clock.advance(0.1)

        assert before
        assert out(service) == {}
        assert states(breaker) == ["half_open", "closed", "closed"]


async def test_each_has_its_own_time() -> None:
    clock = ManualClock()
    async with service_with(clock, 5, growth=3) as (service, _):
        first, second, *_ = service.endpoints
        service.play(first, 500, 500)
        await clock.advance(10)
        service.play(first, 500)  # out for 30 s, until 40
        await clock.advance(5)
        service.play(second, 500, 500)  # out for 10 s, until 25
        seen = []
        for seconds in (9.9, 0.1, 14.9, 0.1):
            await clock.advance(seconds)
            seen.append(list(out(service)))

        assert seen == [[first.url, second.url], [first.url], [first.url], []]


async def test_while_as_many_trials_run_as_may_it_is_out_again() -> None:
    clock = ManualClock()
    async with service_with(clock, trials=2) as (service, breaker):
        bad = service.endpoints[0]
        service.play(bad, 500, 500)
        await clock.advance(10)

        first = service.begin(bad)
        with_one = out(service)
        second = service.begin(bad)
        with_two = out(service)
        service.end(first, asyncio.CancelledError())
        after_one = out(service)
        service.end(second, 200)

        assert (with_one, with_two, after_one) == ({}, {bad.url: "half open, and 2 trials run"}, {})
        assert breaker.state()["endpoints"][bad.url]["trials_passed"] == 1
        service.play(bad, 200)
        assert (out(service), states(breaker)[0]) == ({}, "closed")


async def test_a_failed_trial_takes_it_out_again() -> None:
    clock = ManualClock()
    async with service_with(clock) as (service, breaker):
        bad = service.endpoints[0]
        service.play(bad, 500, 500)
        await clock.advance(10)

        service.play(bad, UpstreamTimeoutError("no"))

        assert (out(service), states(breaker)[0]) == ({bad.url: "open: a trial failed"}, "open")


async def test_attempts_that_began_before_it_opened_do_not_count_as_trials() -> None:
    clock = ManualClock()
    async with service_with(clock) as (service, breaker):
        bad = service.endpoints[0]
        old = [service.begin(bad) for _ in range(3)]
        service.play(bad, 500, 500)
        in_panic = service.begin(bad)
        await clock.advance(10)

        service.end(old[0], 200)
        service.end(old[1], 500)
        service.end(in_panic, 500)
        half_open = (states(breaker)[0], breaker.state()["endpoints"][bad.url]["trials_passed"])
        service.play(bad, 200, 200)
        service.end(old[2], 500)

        assert half_open == ("half_open", 0)
        assert breaker.state()["endpoints"][bad.url]["consecutive_failures"] == 0


async def test_more_than_the_trials_in_a_panic_are_not_judged() -> None:
    clock = ManualClock()
    async with service_with(clock) as (service, breaker):
        bad = service.endpoints[0]
        service.play(bad, 500, 500)
        await clock.advance(10)

        trial, other = service.begin(bad), service.begin(bad)
        service.end(other, 500)

        assert states(breaker)[0] == "half_open"
        service.end(trial, 500)
        assert states(breaker)[0] == "open"


async def test_one_that_goes_and_comes_again_starts_closed() -> None:
    async with service_with(ManualClock()) as (service, breaker):
        bad = service.endpoints[0]
        service.play(bad, 500, 500)
        late = service.begin(bad)
        service.remove(bad)
        service.end(late, 500)
        service.add(bad.url)

        assert (out(service), states(breaker)) == ({}, ["closed"] * 3)


async def test_one_that_was_forced_by_hand_stays_so_when_it_goes_and_comes_again() -> None:
    async with service_with(ManualClock()) as (service, breaker):
        first, second, _ = service.endpoints
        breaker.act("open", {"endpoint": first.url})
        breaker.act("open", {"endpoint": second.url})
        breaker.act("auto", {"endpoint": second.url})
        for endpoint in (first, second):
            service.remove(endpoint)
            service.add(endpoint.url)

        assert out(service) == {first.url: "open: forced open by hand"}


async def test_it_can_be_forced_by_hand() -> None:
    clock = ManualClock()
    async with service_with(clock) as (service, breaker):
        first, second, _ = service.endpoints
        breaker.act("open", {"endpoint": first.url})
        breaker.act("closed", {"endpoint": second.url})
        service.play(second, *[500] * 5)
        await clock.advance(1000)
        forced = (out(service), states(breaker))
        breaker.act("auto", {"endpoint": first.url})
        breaker.act("auto", {"endpoint": second.url})
        free = out(service)
        service.play(second, 500, 500)

        assert forced == ({first.url: "open: forced open by hand"}, ["open", "closed", "closed"])
        assert (free, out(service)) == ({}, {second.url: "open: failures in a row: 2"})


async def test_one_that_is_open_already_can_be_forced_open() -> None:
    clock = ManualClock()
    async with service_with(clock) as (service, breaker):
        bad = service.endpoints[0]
        service.play(bad, 500, 500)
        breaker.act("open", {"endpoint": bad.url})
        await clock.advance(1000)

        assert out(service) == {bad.url: "open: forced open by hand"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "expected the argument endpoint; got none"),
        ({"url": "http://x"}, "expected the argument endpoint; got url"),
        ({"endpoint": "http://x"}, "endpoint: expected the URL of one of the service's; got 'http://x'"),
    ],
)
async def test_what_to_force_has_to_be_said(arguments: dict[str, str], message: str) -> None:
    async with service_with(ManualClock()) as (_, breaker):
        with pytest.raises(ValueError, match=message):
            breaker.act("open", arguments)


async def test_its_gauge_says_how_many_are_in_which_state() -> None:
    metrics, clock = Metrics(), ManualClock()

    def gauge() -> dict[str, float]:
        family = metrics.families["meshwright_endpoint_breaker_state"]
        gauges = {dict(labels)["state"]: metric for labels, metric in family.metrics.items()}
        return {state: metric.value for state, metric in gauges.items() if isinstance(metric, Gauge)}

    async with service_with(clock, metrics=metrics) as (service, _):
        service.play(service.endpoints[0], 500, 500)
        with_one_open = gauge()
        service.remove(service.endpoints[0])
        without_it = gauge()

    assert with_one_open == {"closed": 2, "half_open": 0, "open": 1}
    assert without_it == {"closed": 2, "half_open": 0, "open": 0}
    assert gauge() == {"closed": 0, "half_open": 0, "open": 0}


STEPS = st.lists(st.tuples(st.sampled_from(["begin", "good", "bad", "gone", "wait"]), st.integers(0, 9)), max_size=60)


@settings(deadline=None)
@given(STEPS, st.integers(1, 3))
async def test_an_endpoint_that_is_in_is_closed_or_has_room_for_a_trial(
    steps: list[tuple[str, int]], trials: int
) -> None:
    clock = ManualClock()
    outcomes: dict[str, int | BaseException] = {"good": 200, "bad": 500, "gone": asyncio.CancelledError()}
    async with service_with(clock, 4, open_for="2s", trials=trials) as (service, breaker):
        running: list[Attempt] = []
        service.play(service.endpoints[0], 500, 500)
        await clock.advance(2)
        for step, number in steps:
            if step == "wait":
                await clock.advance(1)
            elif step == "begin":
                usable = service.group.usable
                running.append(service.begin(usable[number % 2]))
            elif running:
                service.end(running.pop(number % len(running)), outcomes[step])
            for endpoint in service.endpoints:
                shown = breaker.state()["endpoints"][endpoint.url]
                of_this_phase = [
                    each
                    for each in running
                    if each.endpoint is endpoint and each.began >= clock.monotonic() - shown["for_s"]
                ]
                has_room = shown.get("trials_running", trials) < trials
                assert (not endpoint.ejections) == (shown["state"] == "closed" or has_room)
                if shown["state"] == "half_open":
                    assert shown["trials_running"] <= trials
                    assert shown["trials_running"] <= len(of_this_phase)


async def test_over_real_sockets_a_dead_endpoint_among_three_costs_its_failures_and_trials_and_no_more() -> None:
    policy = "endpoint_breaker: {consecutive_failures: 3, open_for: 400ms, trials: 1, successes: 2}"
    async with three_backends(policy) as (backends, clients):
        await backends[0].die()
        began = asyncio.get_running_loop().time()
        statuses = await clients.ask(300)
        seconds = asyncio.get_running_loop().time() - began
        await backends[0].live()
        await asyncio.sleep(0.5)
        after = await clients.ask(30)

    assert 3 <= statuses[502] <= 3 + int(seconds / 0.4)
    assert statuses[200] == 300 - statuses[502]
    assert after == {200: 30}
    assert backends[0].requests >= 9


async def test_over_real_sockets_one_that_answers_500_gets_no_more_than_it_takes_to_see_that() -> None:
    policy = "endpoint_breaker: {consecutive_failures: 3, open_for: 1m}"
    async with three_backends(policy) as (backends, clients):
        backends[0].status = 500
        answers = await clients.ask(100)

    assert (answers[500], backends[0].requests) == (3, 3)
    assert backends[1].requests + backends[2].requests == 97
