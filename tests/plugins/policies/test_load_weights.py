"""Load weights against a fake service and a manual clock, and measured at real endpoints."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from meshwright_plugins.balancers.weighted_round_robin import WeightedRoundRobin
from meshwright_plugins.policies.load_weights import LoadWeights
from meshwright_sdk import ConnectError, Context, Endpoint, Metrics, Response
from meshwright_sdk.testing import FakeService, ManualClock, build, check_policy, gateway, make_request
from tests.plugins.policies.configs import config_of
from tests.plugins.policies.test_load_report import OF_THE_SPECIFICATION
from tests.plugins.policies.upstream import Upstream, running_upstream, who_answers


def reporting(report: str, name: str = "endpoint-load-metrics") -> Response:
    return Response(200, {"content-type": "text/plain", name: report})


class Bench:
    """Load weights that follow at once, a service, and the clock they share."""

    def __init__(self, endpoints: int = 2, **options: Any) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.service = FakeService(endpoints, clock=self.clock, panic_threshold=0.0, name="orders")
        context = Context(place="test", service="orders", clock=self.clock, metrics=self.metrics)
        self.policy = build(LoadWeights, context=context, **{"blackout": "0s", "smoothing": "0s", **options})

    @property
    def factors(self) -> list[float]:
        return [each.factors.get("load_weights", 1.0) for each in self.service.endpoints]

    def report(self, *reports: str) -> None:
        """Have the endpoints answer with a report each; an empty one is none."""
        for endpoint, report in zip(self.service.endpoints, reports, strict=False):
            self.service.play(endpoint, reporting(report) if report else 200)

    async def factors_after(self, *reports: str) -> list[float]:
        self.report(*reports)
        await self.clock.advance(1.0)
        return self.factors

    def counts(self) -> dict[str, float]:
        family = self.metrics.families["meshwright_load_weights_reports_total"]
        return {dict(labels)["result"]: metric.value for labels, metric in family.metrics.items()}  # type: ignore[union-attr]


def cpu(*utilizations: float) -> list[str]:
    return [f"TEXT cpu_utilization={each}" for each in utilizations]


async def test_it_keeps_to_the_contract_of_policies() -> None:
    for options in ({}, {"poll": {"path": "/load", "interval": "1s", "timeout": "10ms"}}, {"expiry": "3s"}):
        clock = ManualClock()
        await check_policy(build(LoadWeights, clock=clock, blackout="1s", **options), wait=clock.advance)


@pytest.mark.parametrize(
    ("utilizations", "shares"),
    [
        ((0.6, 0.4), [40, 60]),
        ((0.9, 0.1), [10, 90]),
        ((0.5, 0.5), [50, 50]),
        ((0.0, 0.5), [67, 33]),
        ((0.2, 0.2, 0.6), [40, 40, 20]),
    ],
)
async def test_by_headroom_the_traffic_follows_what_is_free(utilizations: tuple[float, ...], shares: list[int]) -> None:
    bench = Bench(len(utilizations))
    balancer = build(WeightedRoundRobin)
    async with bench.service.running(bench.policy, balancer):
        await bench.factors_after(*cpu(*utilizations))
        usable = bench.service.group.usable
        picks = Counter(balancer.pick(usable, make_request()) for _ in range(1000))
    assert [picks[each] / 10 for each in usable] == pytest.approx(shares, abs=0.5)


async def test_an_endpoint_that_is_overloaded_keeps_the_minimum() -> None:
    bench = Bench(minimum="20%")
    async with bench.service.running(bench.policy):
        assert await bench.factors_after(*cpu(3.0, 0.2)) == [0.2, pytest.approx(1.98, abs=0.01)]
        assert await bench.factors_after(*cpu(3.0, 2.0)) == [1.0, 1.0]


async def test_by_capacity_endpoints_weigh_what_they_could_serve() -> None:
    bench = Bench(3, formula="capacity")
    async with bench.service.running(bench.policy):
        factors = await bench.factors_after(
            "TEXT cpu_utilization=0.5,rps_fractional=100",  # 200
            "TEXT cpu_utilization=0.25,rps_fractional=100",  # 400
            "TEXT cpu_utilization=0.9,rps_fractional=540",  # 600
        )
    assert factors == [0.5, 1.0, 1.5]


async def test_by_capacity_the_traffic_settles_where_all_are_used_alike() -> None:
    bench = Bench(2, formula="capacity")
    capacities, load = (100.0, 300.0), 200.0
    async with bench.service.running(bench.policy):
        utilizations = []
        for _ in range(3):
            weights = [each.weight for each in bench.service.endpoints]
            rates = [load * weight / sum(weights) for weight in weights]
            utilizations = [rate / capacity for rate, capacity in zip(rates, capacities, strict=True)]
            await bench.factors_after(
                *(f"TEXT cpu_utilization={u},rps_fractional={r}" for u, r in zip(utilizations, rates, strict=True))
            )
    assert utilizations == pytest.approx([0.5, 0.5], abs=0.01)


@pytest.mark.parametrize(
    ("options", "report", "utilization"),
    [
        ({}, "TEXT cpu_utilization=0.3,application_utilization=0.8", 0.8),
        ({}, "TEXT cpu_utilization=0.3,application_utilization=0", 0.3),
        ({"metric": "cpu_utilization"}, "TEXT cpu_utilization=0.3,application_utilization=0.8", 0.3),
        ({"metric": "named_metrics.gpu"}, 'JSON {"named_metrics": {"gpu": 0.7}, "cpu_utilization": 0.1}', 0.7),
        ({"metric": "named_metrics.bar"}, f"BIN {OF_THE_SPECIFICATION.decode()}", 0.2),
        ({}, f"BIN {OF_THE_SPECIFICATION.decode()}", 0.1),
        ({}, "TEXT cpu_utilization=0.3,rps_fractional=10,eps=2", 0.5),
        ({"error_penalty": 0}, "TEXT cpu_utilization=0.3,rps_fractional=10,eps=2", 0.3),
        ({}, "TEXT cpu_utilization=0.3,eps=2", 0.3),
    ],
)
async def test_the_utilization_is_the_metric_that_the_options_say(
    options: dict[str, Any], report: str, utilization: float
) -> None:
    bench = Bench(1, **options)
    async with bench.service.running(bench.policy):
        bench.report(report)
        (state,) = bench.policy.state()["endpoints"].values()
        assert state["utilization"] == pytest.approx(utilization)


async def test_the_protobuf_may_be_in_a_header_of_its_own() -> None:
    bench = Bench(1)
    async with bench.service.running(bench.policy):
        response = reporting(OF_THE_SPECIFICATION.decode(), "endpoint-load-metrics-bin")
        bench.service.play(bench.service.endpoints[0], response)
        assert bench.counts() == {"good": 1, "bad": 0}
        assert dict(response.headers.multi_items()) == {"content-type": "text/plain"}


@pytest.mark.parametrize("remove", [True, False])
async def test_clients_do_not_see_the_report_unless_they_shall(remove: bool) -> None:
    bench = Bench(1, remove_header=remove)
    async with bench.service.running(bench.policy):
        for report in ("TEXT cpu_utilization=0.3", "TEXT cpu_utilization=0.4", "nonsense"):
            response = reporting(report)
            bench.service.play(bench.service.endpoints[0], response)
            assert ("endpoint-load-metrics" in response.headers) is not remove


async def test_weights_change_once_in_an_interval_and_only_by_whole_percents() -> None:
    bench = Bench(2, update_interval="1s")
    seen: list[tuple[Endpoint, ...]] = [bench.service.group.usable]
    async with bench.service.running(bench.policy):
        for step in range(300):
            bench.report(*cpu(0.5 + (step % 7) / 100, 0.4))
            await bench.clock.advance(0.1)
            if seen[-1] is not bench.service.group.usable:
                seen.append(bench.service.group.usable)
        assert 10 < len(seen) <= 32
        count = len(seen)
        for step in range(100):
            bench.report(*cpu(0.5 + (step % 2) / 10_000, 0.4))
            await bench.clock.advance(0.1)
            if seen[-1] is not bench.service.group.usable:
                seen.append(bench.service.group.usable)
        assert len(seen) <= count + 1


async def test_of_many_reports_a_few_are_read() -> None:
    bench = Bench(1, update_interval="1s")
    async with bench.service.running(bench.policy):
        for _ in range(1000):
            bench.report("TEXT cpu_utilization=0.3")
            await bench.clock.advance(0.001)
    assert 9 <= bench.counts()["good"] <= 11


async def test_reports_are_smoothed_over_time() -> None:
    bench = Bench(2, smoothing="10s", minimum="0%")
    async with bench.service.running(bench.policy):
        await bench.factors_after(*cpu(0.5, 0.5))
        assert bench.factors == [1.0, 1.0]
        seen = [(await bench.factors_after(*cpu(0.9, 0.5)))[0] for _ in range(40)]
    assert seen[0] == pytest.approx(0.96, abs=0.02)
    assert seen == sorted(seen, reverse=True)
    assert seen[-1] == pytest.approx(0.1 / 0.3, abs=0.03)


async def test_reports_count_when_they_have_come_for_long_enough() -> None:
    bench = Bench(2, blackout="10s")
    async with bench.service.running(bench.policy):
        for _ in range(9):
            assert await bench.factors_after(*cpu(0.9, 0.1)) == [1.0, 1.0]
        await bench.factors_after(*cpu(0.9, 0.1))
        assert await bench.factors_after(*cpu(0.9, 0.1)) == [0.2, 1.8]


async def test_an_endpoint_that_reports_no_longer_has_its_own_weight_again() -> None:
    bench = Bench(2, expiry="5s")
    async with bench.service.running(bench.policy):
        await bench.factors_after(*cpu(0.9, 0.1))
        for _ in range(3):
            assert (await bench.factors_after("", cpu(0.1)[0]))[0] == 0.2
        await bench.clock.advance(1.0)
        assert await bench.factors_after("", cpu(0.1)[0]) == [1.0, 1.0]
        assert len(bench.policy.context.tasks) == 1
        await bench.clock.advance(6.0)
        assert len(bench.policy.context.tasks) == 0
        assert bench.policy.state() == {"endpoints": {}}
        assert await bench.factors_after(*cpu(0.9, 0.1)) == [0.2, 1.8]


async def test_endpoints_without_a_report_weigh_as_the_mean_of_the_others() -> None:
    bench = Bench(3)
    async with bench.service.running(bench.policy):
        assert await bench.factors_after(*cpu(0.8, 0.4), "") == [0.5, 1.5, 1.0]


async def test_weights_of_the_list_are_multiplied() -> None:
    bench = Bench(0)
    bench.service.add(*FakeService(2).endpoints)
    async with bench.service.running(bench.policy):
        bench.service.group.scale(bench.service.endpoints[0], "other", 0.5)
        await bench.factors_after(*cpu(0.6, 0.4))
        assert [each.weight for each in bench.service.endpoints] == [40, 120]


@pytest.mark.parametrize(
    ("options", "report", "problem"),
    [
        ({}, "cpu_utilization=0.3", "expected a report that begins with TEXT, JSON or BIN"),
        ({}, "TEXT mem_utilization=0.3", "expected cpu_utilization in it; got mem_utilization"),
        ({"metric": "named_metrics.gpu"}, "TEXT cpu_utilization=0.3", "expected named_metrics.gpu in it"),
        ({"formula": "capacity"}, "TEXT cpu_utilization=0.3", "expected rps_fractional and cpu_utilization above 0"),
        ({"formula": "capacity"}, "TEXT cpu_utilization=0,rps_fractional=1", "expected rps_fractional and cpu"),
        ({"formula": "capacity"}, "TEXT cpu_utilization=1e-300,rps_fractional=1e308", "expected rps_fractional / cpu"),
        ({"formula": "capacity"}, "TEXT cpu_utilization=1,rps_fractional=1e308", "expected rps_fractional / cpu"),
        ({}, "TEXT cpu_utilization=1e308", "expected a utilization of 1e+12 or less"),
        ({}, "TEXT cpu_utilization=0.1,eps=1e308,rps_fractional=1e-308", "expected a utilization of 1e+12 or less"),
    ],
)
async def test_a_report_of_no_use_is_logged_once_and_changes_nothing(
    options: dict[str, Any], report: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(1, **options)
    (endpoint,) = bench.service.endpoints
    async with bench.service.running(bench.policy):
        for _ in range(3):
            assert await bench.factors_after(report) == [1.0]
    (record,) = caplog.records
    assert f"service orders: {endpoint.url}: its load report is of no use: {problem}" in record.message
    assert bench.counts() == {"good": 0, "bad": 3}


async def test_attempts_without_an_answer_and_answers_without_a_report_are_none() -> None:
    bench = Bench(1)
    async with bench.service.running(bench.policy):
        bench.service.play(bench.service.endpoints[0], 200, 503, ConnectError("no"), asyncio.CancelledError())
        assert bench.counts() == {"good": 0, "bad": 0}
        assert len(bench.policy.context.tasks) == 0


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda: reporting("TEXT cpu_utilization=0.6"), ""),
        (lambda: Response.json({"cpu_utilization": 0.6, "named_metrics": {"x": 1}}), ""),
        (lambda: 503, "status 503"),
        (lambda: 200, "expected a report as a JSON object"),
        (lambda: Response(200, {}, b"x" * 10_000), "expected 8192 bytes at most"),
        (lambda: ConnectError("upstream: nobody listens"), "nobody listens"),
        (lambda: TimeoutError(), "no answer within 2s"),  # noqa: PLW0108 - one each time, as the others
    ],
)
async def test_endpoints_may_be_asked(answer: Any, problem: str, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(2, poll={"path": "/load?full=1", "interval": "1s"})
    first, second = bench.service.endpoints
    async with bench.service.running(bench.policy):
        bench.service.answer(second, *[reporting("TEXT cpu_utilization=0.4") for _ in range(20)])
        for _ in range(50):
            bench.service.answer(first, answer())
            await bench.clock.advance(0.1)
        assert all(request is not None and request.target == "/load?full=1" for _, request in bench.service.probes)
        assert bench.factors == ([1.0, 1.0] if problem else [0.8, 1.2])
        assert all(response.closed for response in bench.service.given)
    assert len([each for each in caplog.records if "of no use" in each.message]) == (1 if problem else 0)
    assert problem in caplog.text


@pytest.mark.parametrize(
    "options",
    [
        {"formula": "guess"},
        {"metric": "load"},
        {"metric": "named_metrics."},
        {"poll": {"path": "load"}},
        {"poll": {}},
        {"update_interval": "0s"},
        {"error_penalty": -1},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(LoadWeights, **options)


def weighed(*upstreams: Upstream, options: str = "") -> str:
    policy = f"load_weights: {{blackout: 0s, smoothing: 0s, update_interval: 50ms{options}}}"
    return config_of(upstreams, policy)


async def settles(client: aiohttp.ClientSession, url: str, upstream: Upstream, share: int) -> Counter[str]:
    """Ask until so many of 100 answers in a row come from the upstream; return who answered 500 more."""
    async with asyncio.timeout(20):
        while abs((await who_answers(client, url, 100))[upstream.url] - share) > 1:
            pass
    return await who_answers(client, url, 500)


async def test_real_endpoints_get_what_the_formula_says() -> None:
    async with (
        running_upstream() as one,
        running_upstream() as two,
        gateway(weighed(one, two)) as gate,
        aiohttp.ClientSession() as client,
    ):
        for first, second, share in ((0.6, 0.4, 40), (0.9, 0.1, 10), (0.5, 0.5, 50)):
            one.headers = {"endpoint-load-metrics": f"TEXT cpu_utilization={first},rps_fractional=10"}
            two.headers = {"endpoint-load-metrics": f'JSON {{"application_utilization": {second}}}'}
            counts = await settles(client, gate.url, one, share)
            assert counts[one.url] / 5 == pytest.approx(share, abs=1)
        async with client.get(gate.url) as answer:
            assert "endpoint-load-metrics" not in answer.headers


async def test_real_endpoints_that_are_asked_get_what_the_formula_says() -> None:
    poll = ", poll: {path: /healthz, interval: 20ms}, remove_header: false"
    async with (
        running_upstream() as one,
        running_upstream() as two,
        gateway(weighed(one, two, options=poll)) as gate,
        aiohttp.ClientSession() as client,
    ):
        one.report, two.report = '{"cpu_utilization": 0.6}', '{"cpuUtilization": 0.4}'
        counts = await settles(client, gate.url, one, 40)
        assert counts[one.url] / 5 == pytest.approx(40, abs=1)
