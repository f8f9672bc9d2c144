"""What a reload does to a service's policies and filters, and to what they have decided."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from meshwright_sdk import ConfigError
from meshwright_sdk.testing import make_request
from tests.core.http1.wire import Wire, scripted_upstream, until
from tests.core.traffic.bench import OK, Bench


async def say_nothing(wire: Wire) -> None:
    await wire.message()
    await wire.rest()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:2")


async def test_policies_that_do_not_change_go_on_with_what_they_have_decided(bench: Bench) -> None:
    await bench.apply("policies: [judge: {word: a}]")
    (judge,) = bench.policies
    service, balancer = bench.service, bench.service.balancer
    assert judge.endpoints == list(service.endpoints)
    service.group.eject(service.endpoints[0], "judge", "a reason")

    bench.urls = (*bench.urls, "http://127.0.0.1:3")
    await bench.apply("policies: [judge: {word: a}]")

    assert (bench.service, bench.service.balancer, bench.policies) == (service, balancer, (judge,))
    assert service.endpoints[0].ejections == {"judge": "a reason"}
    assert judge.endpoints == list(service.endpoints)
    assert judge.life == ["start"]
    await bench.gateway.close()
    assert judge.life == ["start", "close"]


@pytest.mark.parametrize(
    "changed",
    ["balancer: round_robin", "policies: [judge: {word: b}]", "policies: [second]", "panic_threshold: 10%"],
)
async def test_a_change_of_policies_leaves_no_judgement_and_keeps_the_service(bench: Bench, changed: str) -> None:
    await bench.apply("policies: [judge: {word: a}]")
    (judge,) = bench.policies
    service, (first, second) = bench.service, bench.service.endpoints
    service.group.eject(first, "judge", "a reason")
    service.group.scale(second, "judge", 0.5)

    await bench.apply(changed if "panic" not in changed else f"policies: [judge: {{word: a}}], {changed}")

    assert bench.service is service
    assert service.endpoints == (first, second)
    assert service.group.usable == (first, second)
    assert [(each.ejections, each.factors, each.weight) for each in service.endpoints] == [({}, {}, 1)] * 2
    assert judge not in bench.policies
    assert all(each.endpoints == [first, second] for each in bench.policies)
    await until(lambda: judge.life == ["start", "close"])
    after = bench.policies
    await bench.gateway.close()
    assert [each.life for each in after] == [["start", "close"]] * len(after)


async def test_the_work_of_policies_that_are_gone_ends_though_a_request_still_runs(bench: Bench) -> None:
    await bench.apply("policies: [judge]")
    (judge,) = bench.policies
    judge.context.tasks.spawn(asyncio.Event().wait(), name="work")
    async with scripted_upstream(say_nothing) as upstream:
        bench.urls = (upstream.url,)
        await bench.apply("policies: [judge]")
        asking = asyncio.gather(bench.gateway.handle(make_request()), return_exceptions=True)
        await until(lambda: bench.service.endpoints[0].in_flight == 1)
        await bench.apply("policies: []")
        await until(lambda: not len(judge.context.tasks))
        assert (judge.life, bench.service.endpoints[0].in_flight) == (["start", "close"], 1)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await bench.gateway.close()


async def test_policies_come_back_after_they_were_gone(bench: Bench) -> None:
    for policies, count in (("[judge]", 1), ("[]", 0), ("[judge, second]", 2), ("[second]", 1)):
        await bench.apply(f"policies: {policies}")
        assert len(bench.policies) == count
        assert all(each.life == ["start"] for each in bench.policies)
    await bench.gateway.close()


async def test_a_service_that_is_made_anew_has_policies_of_its_own(bench: Bench) -> None:
    await bench.apply("policies: [judge]")
    service, (judge,) = bench.service, bench.policies

    await bench.apply("policies: [judge], connect_timeout: 1s")

    assert bench.service is not service
    (after,) = bench.policies
    assert after is not judge
    assert after.endpoints == list(bench.service.endpoints)
    await until(lambda: judge.life == ["start", "close"])
    await bench.gateway.close()


async def test_a_version_that_is_discarded_changes_no_policy(bench: Bench) -> None:
    await bench.apply("policies: [judge]")
    service, (judge,) = bench.service, bench.policies
    service.group.eject(service.endpoints[0], "judge", "a reason")

    snapshot = await bench.gateway.prepare(bench.document("policies: [judge: {word: other}]"), 9)
    await bench.gateway.discard(snapshot)

    assert bench.policies == (judge,)
    assert service.endpoints[0].health == "ejected"
    assert judge.life == ["start"]
    await bench.gateway.close()


@pytest.mark.parametrize("before", ["policies: []", "policies: [judge]"])
async def test_a_policy_that_cannot_start_or_be_made_refuses_the_version(bench: Bench, before: str) -> None:
    await bench.apply(before)
    policies = bench.policies

    with pytest.raises(ConfigError, match=r"services.shop.policies: expected to be able to start .* got no disk"):
        await bench.apply("policies: [judge: {fails: no disk}]")
    with pytest.raises(ConfigError, match=r"services.shop.policies\[1\].second.word: expected another; got this"):
        await bench.apply("policies: [judge, second: {refused: true}]")
    with pytest.raises(ConfigError, match=r"policies\[1\]: expected a policy that the service has once; got judge"):
        await bench.apply("policies: [judge, judge: {word: b}]")

    assert bench.policies == policies
    await bench.gateway.close()


async def test_a_new_service_whose_policy_cannot_start_is_closed(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="got no disk"):
        await bench.apply("policies: [judge: {fails: no disk}]")


async def test_filters_of_a_service_are_one_for_all_routes_outermost_first_and_outlive_a_reload(tmp_path: Path) -> None:
    async def answer(wire: Wire) -> None:
        while True:
            await wire.message()
            await wire.send(OK)

    async with scripted_upstream(answer) as upstream:
        bench = Bench(tmp_path, upstream.url)
        await bench.apply("filters: [stamp: {word: out}, stamp: {word: in}], policies: [judge]")
        assert [await bench.stamp("/one"), await bench.stamp("/two")] == ["in1out1", "in2out2"]
        service = bench.service

        await bench.apply("filters: [stamp: {word: out}, stamp: {word: new}], policies: [second]")
        assert await bench.stamp("/one") == "new1out3"

        assert bench.service is service
        assert service.endpoints[0].pool.connects == 1
        await bench.gateway.close()
