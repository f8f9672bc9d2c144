from __future__ import annotations

import pytest

from meshwright.testing import InProcessGateway
from meshwright.traffic.part_metrics import SharedMetrics
from meshwright_sdk import ConfigError, Counter, Gauge, Metrics
from tests.core.http1.wire import until


def test_a_metric_is_shown_until_the_last_part_that_asked_for_it_has_ended() -> None:
    shared = SharedMetrics(Metrics())
    one, other = shared.of_part(), shared.of_part()
    counter = one.counter("asked_total", "Asked.", route="a")
    counter.value += 1

    assert other.counter("asked_total", "Asked.", route="a") is counter
    one.end()
    one.end()
    assert shared.metrics.counter("asked_total", "Asked.", route="a").value == 1
    other.end()
    assert shared.metrics.families["asked_total"].metrics == {}
    assert shared.users == {}


def test_what_a_part_that_is_given_up_would_have_told_is_told_by_the_one_before() -> None:
    shared = SharedMetrics(Metrics())
    first, second, third = (shared.of_part() for _ in range(3))
    gauge = first.gauge("limit", "Limit.", lambda: 1)
    second.gauge("limit", "Limit.", lambda: 2)
    third.gauge("limit", "Limit.")
    second.end()

    assert gauge.read is not None
    assert gauge.read() == 1
    first.end()
    assert gauge.read is None


GATEWAY = """
listeners: [{name: web, bind: "127.0.0.1:0"}]
filters: [{overload: {max_lag: LAG}}]
routes: [{name: NAME, filters: [{fallback: {respond: {text: sorry}}}, retry, hedge, {mirror: {to: NAME}}], to: NAME}]
services:
  NAME:
    endpoints: ["http://127.0.0.1:1"]
    filters: [circuit_breaker, {concurrency: {limit: LIMIT}}]
    policies: [outlier, endpoint_breaker, slow_start, health_check, load_weights]
"""


def gateway(name: str, *, limit: int = 5, lag: str = "20ms") -> str:
    return GATEWAY.replace("NAME", name).replace("LIMIT", str(limit)).replace("LAG", lag)


async def test_nothing_is_counted_of_routes_and_services_that_are_gone() -> None:
    async with InProcessGateway(gateway("one")) as running:
        families = running.gateway.metrics.families

        def labels() -> set[tuple[str, str]]:
            told = {pair for family in families.values() for key in family.metrics for pair in key}
            return {(label, value) for label, value in told if value in ("one", "two")}

        before = labels()
        await running.apply(gateway("two"))
        await until(lambda: labels() == {(label, "two") for label, _ in before})

    assert {("route", "one"), ("service", "one")} <= before


async def test_a_reload_that_is_refused_changes_nothing_of_what_is_told() -> None:
    async with InProcessGateway(gateway("one")) as running:
        with pytest.raises(ConfigError, match="max_lag"):
            await running.apply(gateway("one", limit=7, lag="0s"))

        (limit,) = running.gateway.metrics.families["meshwright_concurrency_limit"].metrics.values()
        assert isinstance(limit, Gauge | Counter)
        assert limit.read is not None
        assert limit.read() == 5
