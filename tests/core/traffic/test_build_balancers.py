"""What a reload does to a service's balancer: another one takes over, and the service goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from meshwright_sdk import ConfigError, Instance
from tests.core.http1.wire import Wire, scripted_upstream, until
from tests.core.traffic.bench import OK, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, "http://127.0.0.1:1", "http://127.0.0.1:2")


async def test_another_balancer_is_ready_at_the_commit_and_the_service_keeps_what_was_judged(
    bench: Bench,
) -> None:
    await bench.apply("balancer: first, policies: [judge]")
    service, before, (one, two), (judge,) = bench.service, bench.balancer, bench.service.endpoints, bench.policies
    assert before.life == ["start", ["added", one], ["added", two], ["warm up", one, two]]
    service.group.eject(one, "judge", "a reason")

    snapshot = await bench.gateway.prepare(bench.document("balancer: {first: {word: b}}, policies: [judge]"), 9)
    assert bench.balancer is before
    await bench.gateway.commit(snapshot)

    assert (bench.service, bench.policies, service.group.usable) == (service, (judge,), (two,))
    after = bench.balancer
    assert after is not before
    assert after.life == ["start", ["added", one], ["added", two], ["warm up", two]]
    await until(lambda: before.life[4:] == ["close"])
    await bench.gateway.close()
    assert (before.life[4:], after.life[4:], judge.life) == (["close"], ["close"], ["start", "close"])


async def test_a_balancer_that_does_not_change_goes_on(bench: Bench) -> None:
    await bench.apply("balancer: {first: {word: b}}")
    balancer, life = bench.balancer, list(bench.balancer.life)

    await bench.apply("balancer: {first: {word: b}}, policies: [judge]")

    assert (bench.balancer, balancer.life) == (balancer, life)
    await bench.gateway.close()


async def test_a_balancer_learns_which_endpoints_come_and_go_before_and_at_its_commit(bench: Bench) -> None:
    await bench.apply("balancer: round_robin")
    one, two = bench.service.endpoints
    bench.urls = (bench.urls[1], "http://127.0.0.1:4")
    snapshot = await bench.gateway.prepare(bench.document("balancer: first"), 9)
    bench.service.update([one.instance, Instance(url="http://127.0.0.1:3")])
    _, three = bench.service.endpoints
    await bench.gateway.commit(snapshot)

    again, four = bench.service.endpoints
    prepared = ["start", ["added", one], ["added", two], ["warm up", one, two]]
    committed = [["removed", two], ["added", three]]
    updated = [["removed", one], ["removed", three], ["added", again], ["added", four]]
    assert bench.balancer.life == prepared + committed + updated
    await bench.gateway.close()


async def test_a_version_that_is_discarded_leaves_the_balancer(bench: Bench) -> None:
    await bench.apply("balancer: first")
    balancer, life = bench.balancer, list(bench.balancer.life)

    snapshot = await bench.gateway.prepare(bench.document("balancer: {first: {word: b}}"), 9)
    await bench.gateway.discard(snapshot)

    assert (bench.balancer, balancer.life) == (balancer, life)
    await bench.gateway.close()


@pytest.mark.parametrize("before", ["", "balancer: first"])
async def test_a_balancer_that_cannot_start_or_be_made_refuses_the_version(bench: Bench, before: str) -> None:
    await bench.apply(before)
    balancer = bench.balancer

    with pytest.raises(ConfigError, match=r"services.shop.balancer.first: expected to be able to start .* got no disk"):
        await bench.apply("balancer: {first: {fails: no disk}}")
    with pytest.raises(ConfigError, match=r"services.shop.balancer.first.word: expected another; got this"):
        await bench.apply("balancer: {first: {refused: true}}")

    assert bench.balancer is balancer
    await bench.gateway.close()


async def test_a_new_service_whose_balancer_cannot_start_is_refused_once(bench: Bench) -> None:
    with pytest.raises(ConfigError) as raised:
        await bench.apply("balancer: {first: {fails: no disk}}")

    assert str(raised.value).count("no disk") == 1


async def test_a_service_that_is_made_anew_has_a_balancer_of_its_own(bench: Bench) -> None:
    await bench.apply("balancer: first")
    service, before = bench.service, bench.balancer

    await bench.apply("balancer: first, connect_timeout: 1s")

    assert bench.service is not service
    assert bench.balancer is not before
    await until(lambda: before.life[-1] == "close")
    await bench.gateway.close()


async def test_who_has_picked_hears_of_the_end_and_requests_use_the_connections_there_are(tmp_path: Path) -> None:
    release = asyncio.Event()

    async def answer(wire: Wire) -> None:
        while True:
            message = await wire.message()
            if message.target == "/slow":
                await release.wait()
            await wire.send(OK)

    async with scripted_upstream(answer) as upstream:
        bench = Bench(tmp_path, upstream.url)
        await bench.apply("balancer: first, filters: [stamp]")
        before = bench.balancer
        slow = asyncio.gather(bench.stamp("/slow"))
        await until(lambda: bench.service.endpoints[0].in_flight == 1)
        await bench.apply("balancer: round_robin, filters: [stamp]")
        await until(lambda: before.life[-1] == "close" and not len(before.context.tasks))
        release.set()
        await slow
        await bench.stamp()

        assert before.life[-1] == "ended"
        assert (bench.service.endpoints[0].requests, len(upstream.wires)) == (2, 1)
        await bench.gateway.close()
