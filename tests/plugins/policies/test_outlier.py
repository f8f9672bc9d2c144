from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.policies.outlier import Outlier
from meshwright_plugins.policies.outlier.comparison import compare, outliers
from meshwright_sdk import ConnectError, Context, Counter, Endpoint, Gauge, Metrics, OverloadError, UpstreamTimeoutError
from meshwright_sdk.testing import FakeService, ManualClock, build, check_policy
from tests.plugins.policies.backends import three_backends

NO_ROW: dict[str, Any] = {"consecutive_failures": None, "consecutive_gateway_errors": None}
"""Options that leave the rules of failures in a row out."""


@asynccontextmanager
async def service_with(
    clock: ManualClock, endpoints: int = 3, /, metrics: Metrics | None = None, **options: Any
) -> AsyncIterator[tuple[FakeService, Outlier]]:
    context = Context(clock=clock, service="orders", metrics=metrics or Metrics(), random=Random(1))
    options = {"consecutive_failures": 3, "consecutive_gateway_errors": 2, "jitter": "0%", **options}
    outlier = build(Outlier, context=context, **options)
    async with FakeService(endpoints, clock=clock, name="orders").running(outlier) as service:
        yield service, outlier


def out(service: FakeService) -> dict[str, str]:
    """Return why endpoints are out, by URL."""
    return {each.url: each.ejections["outlier"] for each in service.endpoints if each.ejections}


def mix(service: FakeService, endpoint: Endpoint, *, good: int, bad: int) -> None:
    """Play good and bad answers so that no two bad ones follow each other, as far as there are enough good ones."""
    for number in range(max(good, bad)):
        if number < good:
            service.play(endpoint, 200)
        if number < bad:
            service.play(endpoint, 500)


async def test_it_holds_to_the_contract_of_policies() -> None:
    clock = ManualClock()
    policy = build(
        Outlier,
        clock=clock,
        consecutive_failures=2,
        interval="2s",
        base_ejection="3s",
        success_rate_endpoints=2,
        success_rate_requests=1,
        failure_rate="30%",
        failure_rate_requests=1,
    )
    await check_policy(policy, wait=clock.advance)


async def test_failures_in_a_row_eject_at_once() -> None:
    async with service_with(ManualClock()) as (service, _):
        bad, other, _ = service.endpoints
        service.play(bad, 500, 500)
        service.play(other, 500, 500, 200, 500, 500)
        before = out(service)
        service.play(bad, 500)

        assert (before, out(service)) == ({}, {bad.url: "failures in a row: 3"})


@pytest.mark.parametrize("outcome", [ConnectError("no"), UpstreamTimeoutError("no"), 502, 503, 504], ids=repr)
async def test_gateway_errors_in_a_row_eject_sooner(outcome: int | Exception) -> None:
    async with service_with(ManualClock()) as (service, _):
        bad, other, _ = service.endpoints
        service.play(other, outcome, 500, 200, outcome)
        service.play(bad, outcome)
        before = out(service)
        service.play(bad, outcome)

        assert (before, out(service)) == ({}, {bad.url: "gateway errors in a row: 2"})


@pytest.mark.parametrize("outcome", [asyncio.CancelledError(), OverloadError("no"), 404, 429], ids=repr)
async def test_what_is_not_its_fault_does_not_eject_it(outcome: int | BaseException) -> None:
    async with service_with(ManualClock()) as (service, _):
        service.play(service.endpoints[0], *[outcome] * 10)

        assert out(service) == {}


async def test_which_statuses_are_failures_is_an_option() -> None:
    async with service_with(ManualClock(), statuses=[429]) as (service, _):
        service.play(service.endpoints[0], 500, 503, 503, 500)
        service.play(service.endpoints[1], 429, 429, 429)

        assert list(out(service)) == [service.endpoints[1].url]


async def test_a_rule_that_is_null_is_none() -> None:
    async with service_with(ManualClock(), **NO_ROW) as (service, _):
        service.play(service.endpoints[0], *[503] * 20)

        assert out(service) == {}


async def test_it_is_back_when_its_time_is_over_and_out_for_longer_each_time() -> None:
    clock = ManualClock()
    options: dict[str, Any] = {"base_ejection": "30s", "max_ejection": "70s", "interval": "1000s"}
    async with service_with(clock, **options) as (service, _):
        bad = service.endpoints[0]
        seconds = []
        for _ in range(4):
            service.play(bad, 503, 503)
            for second in range(200):
                if not out(service):
                    seconds.append(second)
                    break
                await clock.advance(1.0)

        assert seconds == [30, 60, 70, 70]


async def test_intervals_without_a_failure_make_up_for_ejections() -> None:
    clock = ManualClock()
    async with service_with(clock, base_ejection="30s", interval="10s") as (service, outlier):
        bad = service.endpoints[0]
        for _ in range(2):
            service.play(bad, 503, 503)
            await clock.advance(60)
        service.play(bad, 503)
        await clock.advance(10)  # a failure
        await clock.advance(10)  # no request
        service.play(bad, 200)
        await clock.advance(10)
        service.play(bad, 503, 503)

        assert outlier.state()["endpoints"][bad.url]["back_in_s"] == 60.0  # and not 90


async def test_answers_while_it_is_out_make_up_for_nothing() -> None:
    clock = ManualClock()
    async with service_with(clock, base_ejection="30s", interval="10s") as (service, outlier):
        bad = service.endpoints[0]
        service.play(bad, 503, 503)
        await clock.advance(10)
        service.play(bad, 200)
        await clock.advance(20)
        service.play(bad, 503, 503)

        assert outlier.state()["endpoints"][bad.url]["back_in_s"] == 60.0


async def test_failures_while_it_is_out_make_it_no_longer() -> None:
    clock = ManualClock()
    async with service_with(clock, base_ejection="30s", max_ejected="100%") as (service, outlier):
        bad = service.endpoints[0]
        service.play(bad, 503, 503)
        await clock.advance(10)
        service.play(bad, *[503] * 10)
        shown = outlier.state()["endpoints"][bad.url]

        assert (shown["ejections"], shown["back_in_s"]) == (1, 20.0)


async def test_what_was_out_often_is_forgiven_as_soon_as_what_is_out_for_longest() -> None:
    clock = ManualClock()
    options: dict[str, Any] = {"base_ejection": "30s", "max_ejection": "70s", "interval": "10s"}
    async with service_with(clock, **options) as (service, outlier):
        bad = service.endpoints[0]
        for _ in range(10):
            service.play(bad, 503, 503)
            await clock.advance(70)
        for _ in range(3):
            service.play(bad, 200)
            await clock.advance(10)
        service.play(bad, 503, 503)

        assert outlier.state()["endpoints"][bad.url]["back_in_s"] == 30.0


@pytest.mark.parametrize(
    ("endpoints", "share", "most"), [(100, "29%", 29), (3, "50%", 1), (3, "34%", 1), (3, "33%", 0), (2, "100%", 2)]
)
async def test_how_many_may_be_out_is_rounded_down(endpoints: int, share: str, most: int) -> None:
    async with service_with(ManualClock(), endpoints, max_ejected=share) as (_, outlier):
        assert outlier.state()["may_be_ejected"] == most


async def test_no_more_than_so_many_are_out_at_a_time() -> None:
    clock = ManualClock()
    async with service_with(clock, 5, max_ejected="40%") as (service, outlier):
        for each in service.endpoints:
            service.play(each, 503, 503)
        state = outlier.state()

        assert len(out(service)) == 2
        assert (state["ejected"], state["may_be_ejected"], state["spared"]) == (2, 2, 3)
        await clock.advance(30)
        service.play(service.endpoints[4], 503, 503)
        assert list(out(service)) == [service.endpoints[4].url]


async def test_the_only_endpoint_is_never_out() -> None:
    async with service_with(ManualClock(), 1) as (service, _):
        service.play(service.endpoints[0], *[503] * 20)

        assert out(service) == {}


async def test_attempts_that_began_before_it_was_put_back_do_not_count() -> None:
    clock = ManualClock()
    async with service_with(clock) as (service, _):
        bad = service.endpoints[0]
        old = [service.begin(bad) for _ in range(4)]
        service.play(bad, 503, 503)
        service.end(old[0], 503)
        await clock.advance(30)
        for attempt in old[1:]:
            service.end(attempt, 503)

        assert out(service) == {}


async def test_jitter_makes_an_ejection_longer() -> None:
    async with service_with(ManualClock(), 20, jitter="10%") as (service, outlier):
        for each in service.endpoints[:10]:
            service.play(each, 503, 503)
        spans = [each["back_in_s"] for each in outlier.state()["endpoints"].values() if each["ejected"]]

        assert len(set(spans)) == 10
        assert 30.0 <= min(spans) < 31.0 < 32.0 < max(spans) <= 33.0


async def test_a_success_rate_far_below_the_mean_ejects() -> None:
    clock = ManualClock()
    rules: dict[str, Any] = {
        **NO_ROW,
        "success_rate_requests": 20,
    }
    async with service_with(clock, 6, **rules) as (service, outlier):
        bad, few, *others = service.endpoints
        mix(service, bad, good=14, bad=6)
        mix(service, few, good=10, bad=9)
        for each in others:
            mix(service, each, good=20, bad=0)
        await clock.advance(9.9)
        before = out(service)
        await clock.advance(0.1)

        assert before == {}
        assert out(service) == {bad.url: "70.0% good answers, 94.0% on average"}
        assert outlier.state()["mean_success_rate"] == pytest.approx(0.94)
        await clock.advance(10)
        assert outlier.state()["mean_success_rate"] is None  # each interval by itself


async def test_one_that_is_out_is_not_compared() -> None:
    clock = ManualClock()
    options: dict[str, Any] = {"success_rate_requests": 4, "success_rate_endpoints": 2, "max_ejected": "100%"}
    async with service_with(clock, **options) as (service, outlier):
        first, *others = service.endpoints
        service.play(first, *[503] * 2)
        service.play(first, *[200] * 3)
        for each in others:
            service.play(each, *[200] * 4)
        await clock.advance(10)

        assert outlier.state()["mean_success_rate"] == 1.0


async def test_with_too_few_endpoints_none_is_compared() -> None:
    clock = ManualClock()
    rules: dict[str, Any] = {
        **NO_ROW,
        "success_rate_requests": 5,
    }
    async with service_with(clock, 4, **rules) as (service, _):
        mix(service, service.endpoints[0], good=0, bad=10)
        for each in service.endpoints[1:]:
            mix(service, each, good=10, bad=0)
        await clock.advance(10)

        assert out(service) == {}


async def test_a_share_of_failures_ejects_the_worst_first() -> None:
    clock = ManualClock()
    rules: dict[str, Any] = {
        **NO_ROW,
        "success_rate_deviations": None,
        "failure_rate": "50%",
        "failure_rate_requests": 10,
        "max_ejected": "40%",
    }
    async with service_with(clock, 5, **rules) as (service, _):
        first, second, third, fourth, _ = service.endpoints
        mix(service, first, good=5, bad=5)
        mix(service, second, good=3, bad=7)
        mix(service, third, good=2, bad=8)
        mix(service, fourth, good=6, bad=4)
        await clock.advance(10)

        assert out(service) == {
            second.url: "7 of 10 requests failed",
            third.url: "8 of 10 requests failed",
        }


async def test_its_metrics_tell_how_many_are_out_and_by_which_rule() -> None:
    metrics, clock = Metrics(), ManualClock()

    def value(name: str, **labels: str) -> float:
        wanted = tuple(sorted({"service": "orders", **labels}.items()))
        metric = metrics.families[f"meshwright_outlier_{name}"].metrics[wanted]
        assert isinstance(metric, Counter | Gauge)
        return metric.value

    async with service_with(clock, 4, metrics=metrics) as (service, _):
        first, second, third, _ = service.endpoints
        service.play(first, 503, 503)
        service.play(second, 500, 500, 500)
        service.play(third, 500, 500, 500)
        with_two = value("ejected")
        service.remove(first)
        with_one = value("ejected")

    assert (with_two, with_one, value("ejected"), value("spared_total")) == (2, 1, 0, 1)
    rules = ("consecutive_gateway_errors", "consecutive_failures", "success_rate")
    assert [value("ejections_total", rule=rule) for rule in rules] == [1, 1, 0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {
                **NO_ROW,
                "success_rate_deviations": None,
            },
            "expected one of the rules consecutive_failures to failure_rate; got null for each",
        ),
        ({"base_ejection": "10m"}, "max_ejection: expected 10m .base_ejection. or more; got 5m"),
        ({"interval": "0s"}, "greater than 0"),
        ({"max_ejected": "0%"}, "greater than 0"),
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(Outlier, **wrong)


RATES = st.lists(st.floats(0, 1), min_size=1, max_size=40)


def worst(rates: Sequence[float], deviations: float = 1.9, margin: float = 0.0) -> list[int]:
    named = dict(enumerate(rates))
    return outliers(named, compare(named, deviations, margin))


@given(st.floats(0, 1), st.integers(1, 50))
def test_equals_are_no_outliers(rate: float, hosts: int) -> None:
    assert worst([rate] * hosts) == []


@given(RATES)
def test_never_all_are_outliers_and_the_best_is_none(rates: list[float]) -> None:
    found = worst(rates, deviations=0.01)

    assert len(found) < len(rates)
    assert all(rates[each] < max(rates) for each in found)
    assert [rates[each] for each in found] == sorted(rates[each] for each in found)


@given(RATES, st.floats(0.01, 1))
def test_none_is_an_outlier_within_the_margin(rates: list[float], margin: float) -> None:
    mean = sum(rates) / len(rates)

    assert all(rates[each] <= mean - margin + 1e-6 for each in worst(rates, margin=margin))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_of_less_than_five_none_is_1_9_deviations_off(rates: list[float]) -> None:
    assert worst(rates) == []


def test_nothing_compared_is_nothing_found() -> None:
    assert worst([]) == []


async def test_over_real_sockets_a_dead_endpoint_among_three_gets_three_requests_and_no_more() -> None:
    policy = "outlier: {consecutive_gateway_errors: 3, base_ejection: 1m}"
    async with three_backends(policy) as (backends, clients):
        await backends[1].die()
        statuses = await clients.ask(100)

    assert statuses == {502: 3, 200: 97}


async def test_over_real_sockets_one_that_has_recovered_is_back() -> None:
    policy, loop = "outlier: {consecutive_gateway_errors: 3, base_ejection: 1s}", asyncio.get_running_loop()
    async with three_backends(policy) as (backends, clients):
        backends[1].status = 503
        began = loop.time()
        statuses = await clients.ask(12)
        ejections = 1 + int(loop.time() - began)
        while_ill = backends[1].requests
        backends[1].status = 200
        async with asyncio.timeout(30):
            while backends[1].requests == while_ill:
                assert await clients.ask(1) == {200: 1}
                await asyncio.sleep(0.05)
        after = await clients.ask(30)

    assert statuses[503] == while_ill
    assert 3 <= while_ill <= 3 * ejections
    assert after == {200: 30}
    assert backends[1].requests >= while_ill + 9
