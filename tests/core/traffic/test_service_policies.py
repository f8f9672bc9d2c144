"""A service and its policies: what they are told, what they decide, and what they ask endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest

from meshwright.traffic.chooser import Chooser
from meshwright.traffic.policy_set import PolicySet
from meshwright.traffic.pool import PoolLimits
from meshwright.traffic.service import Service
from meshwright_plugins.balancers.round_robin import RoundRobin
from meshwright_plugins.balancers.subset import Subset
from meshwright_plugins.discovery.static import Static
from meshwright_sdk import (
    Attempt,
    Balancer,
    ConnectError,
    DeadlineError,
    Endpoint,
    EndpointPolicy,
    Instance,
    Metrics,
    NoOptions,
    Request,
    ResetError,
)
from meshwright_sdk.balancing import AnyBalancer
from meshwright_sdk.testing import ManualClock, build, make_request
from tests.core.http1.wire import ScriptedUpstream, Wire, scripted_upstream, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LONG = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel"


async def answer(wire: Wire) -> None:
    while True:
        await wire.message()
        await wire.send(OK)


async def begin_to_answer(wire: Wire) -> None:
    await wire.message()
    await wire.send(LONG)
    await wire.rest()


async def say_nothing(wire: Wire) -> None:
    await wire.message()
    await wire.rest()


async def break_off(wire: Wire) -> None:
    await wire.message()


class Diary(EndpointPolicy[NoOptions]):
    """Writes down what it hears."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.told: list[str] = []
        self.attempts: list[Attempt] = []

    async def start(self) -> None:
        self.told.append("start")

    async def close(self) -> None:
        self.told.append("close")

    def added(self, endpoint: Endpoint) -> None:
        self.told.append(f"added {endpoint.url}")

    def removed(self, endpoint: Endpoint) -> None:
        self.told.append(f"removed {endpoint.url}")

    def began(self, attempt: Attempt) -> None:
        self.told.append("began")

    def ended(self, attempt: Attempt) -> None:
        self.told.append("ended")
        self.attempts.append(attempt)


class Listening(Balancer[NoOptions]):
    """Takes the first, and writes down what it hears."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.told: list[str] = []

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return endpoints[0]

    def added(self, endpoint: Endpoint) -> None:
        self.told.append("added")

    def ended(self, attempt: Attempt) -> None:
        self.told.append("ended")


@asynccontextmanager
async def service_to(
    *upstreams: ScriptedUpstream,
    policies: Sequence[EndpointPolicy[NoOptions]] = (),
    balancer: AnyBalancer | None = None,
    clock: ManualClock | None = None,
    host: str = "keep",
    limits: PoolLimits | None = None,
) -> AsyncIterator[Service]:
    chooser = Chooser(balancer or build(RoundRobin, random=Random(1)))  # which begins with the first
    await chooser.start()
    service = Service(
        "orders",
        chooser=chooser,
        discovery=build(Static, endpoints=[upstream.url for upstream in upstreams]),
        limits=limits or PoolLimits(),
        metrics=Metrics(),
        clock=clock,
        host=host,
    )
    policy_set = await started(service, *policies)
    service.use(policy_set)
    await service.start()
    yield service
    await service.close()
    for plugins in (policy_set, chooser):
        await plugins.close()
    await until(lambda: not any(each.in_use for each in service.endpoints))


async def started(service: Service, *policies: EndpointPolicy[NoOptions]) -> PolicySet:
    policy_set = PolicySet(policies)
    policy_set.attach(service)
    await policy_set.start()
    return policy_set


async def test_policies_and_balancer_hear_of_endpoints_and_attempts() -> None:
    diary, balancer = build(Diary), build(Listening)
    async with (
        scripted_upstream(answer) as upstream,
        service_to(upstream, policies=[diary], balancer=balancer) as service,
    ):
        assert diary.told == ["start", f"added {upstream.url}"]
        assert diary.service.name == "orders"
        response = await service.call(make_request())
        response.settle()

        (attempt,) = diary.attempts
        assert attempt.response is response
        assert (attempt.endpoint, attempt.error) == (service.endpoints[0], None)
        service.update([])
        assert diary.told[2:] == ["began", "ended", f"removed {upstream.url}"]
        assert balancer.told == ["added", "ended"]


async def test_an_attempt_that_fails_or_is_cancelled_is_told() -> None:
    diary = build(Diary)
    async with (
        scripted_upstream(break_off) as dead,
        scripted_upstream(say_nothing) as silent,
        service_to(dead, silent, policies=[diary], balancer=build(Listening)) as service,
    ):
        with pytest.raises(ResetError):
            await service.call(make_request())
        request = make_request()
        request.avoid = service.endpoints[:1]
        calling = asyncio.gather(service.call(request), return_exceptions=True)
        await until(lambda: service.endpoints[1].in_flight == 1)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)

    failed, cancelled = diary.attempts
    assert isinstance(failed.error, ResetError)
    assert isinstance(cancelled.error, asyncio.CancelledError)
    assert (failed.failed, cancelled.failed) == (True, False)
    assert diary.told.count("began") == diary.told.count("ended") == 2


async def test_an_ejected_endpoint_gets_no_requests_until_it_is_restored() -> None:
    async with scripted_upstream(answer) as one, scripted_upstream(answer) as two, service_to(one, two) as service:
        first, second = service.endpoints
        service.group.eject(first, "test", "a reason")
        for _ in range(4):
            (await service.call(make_request())).settle()
        assert (first.requests, second.requests) == (0, 4)
        service.group.restore(first, "test")
        for _ in range(4):
            (await service.call(make_request())).settle()
        assert first.requests > 0


async def test_endpoints_to_avoid_are_passed_over_while_there_are_others() -> None:
    async with scripted_upstream(answer) as one, scripted_upstream(answer) as two, service_to(one, two) as service:
        first, second = service.endpoints
        request = make_request()
        request.avoid = (first,)
        for _ in range(3):
            (await service.call(request)).settle()
        assert request.endpoint is second
        assert (first.requests, second.requests) == (0, 3)
        request.avoid = (first, second)
        for _ in range(4):
            (await service.call(request)).settle()
        assert first.requests > 0


async def test_an_endpoint_to_avoid_is_used_again_when_the_balancer_will_have_no_other() -> None:
    only = build(Subset, labels={"version": "v2"}, fallback="none")
    async with (
        scripted_upstream(answer) as one,
        scripted_upstream(answer) as two,
        service_to(one, two, balancer=only) as service,
    ):
        service.update(
            [Instance(url=one.url, labels={"version": "v1"}), Instance(url=two.url, labels={"version": "v2"})]
        )
        request = make_request()
        request.avoid = (service.endpoints[1],)

        (await service.call(request)).settle()

        assert request.endpoint is service.endpoints[1]


async def test_a_request_whose_deadline_has_passed_is_not_sent() -> None:
    clock, diary = ManualClock(), build(Diary)
    async with (
        scripted_upstream(answer) as upstream,
        service_to(upstream, clock=clock, policies=[diary]) as service,
    ):
        request = make_request()
        request.deadline = clock.monotonic() + 1.0
        (await service.call(request)).settle()
        await clock.advance(1.0)
        with pytest.raises(DeadlineError) as raised:
            await service.call(request)
        assert raised.value.status == 504
        assert len(diary.attempts) == 1
        assert service.endpoints[0].requests == 1


async def test_other_policies_take_over_with_a_clean_slate_and_the_connections_stay() -> None:
    before, after = build(Diary), build(Diary)
    async with (
        scripted_upstream(answer) as one,
        scripted_upstream(answer) as two,
        service_to(one, two, policies=[before]) as service,
    ):
        first, second = service.endpoints
        for _ in range(2):
            (await service.call(make_request())).settle()
        service.group.eject(first, "diary", "a reason")
        service.group.scale(second, "diary", 0.5)
        service.group.approve(second, "diary")

        service.use(await started(service, after))

        assert (first.health, second.health) == ("unchecked", "unchecked")
        assert [each.weight for each in service.group.usable] == [1, 1]
        assert after.told == ["start", f"added {one.url}", f"added {two.url}"]
        before.service.group.eject(first, "diary", "a late judgement")
        before.service.group.scale(first, "diary", 0.1)
        assert (first.ejections, first.factors) == ({}, {})
        for _ in range(2):
            (await service.call(make_request())).settle()
        assert [each.pool.connects for each in service.endpoints] == [1, 1]
        assert (len(before.attempts), len(after.attempts)) == (2, 2)
        await until(lambda: before.told[-1] == "close")


async def test_who_heard_an_attempt_begin_hears_it_end() -> None:
    before, after = build(Diary), build(Diary)
    async with scripted_upstream(say_nothing) as upstream, service_to(upstream, policies=[before]) as service:
        calling = asyncio.gather(service.call(make_request()), return_exceptions=True)
        await until(lambda: service.endpoints[0].in_flight == 1)
        service.use(await started(service, after))
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        assert "ended" in before.told
        assert "ended" not in after.told


async def test_a_probe_is_answered_and_is_in_no_count() -> None:
    diary = build(Diary)
    async with scripted_upstream(answer) as upstream, service_to(upstream, policies=[diary]) as service:
        (endpoint,) = service.endpoints
        service.group.eject(endpoint, "test", "a reason")
        request = make_request(url="/healthz")
        response = await service.probe(endpoint, request)
        assert (response.status, response.endpoint) == (200, endpoint)
        assert await response.body.read(10) == b"ok"
        await response.aclose()
        await service.probe_connection(endpoint)

        assert request.answers is None
        assert "began" not in diary.told
        assert (endpoint.requests, endpoint.in_flight, endpoint.pool.connects, endpoint.pool.open) == (0, 0, 0, 0)
        assert endpoint.prober is not None
        await until(lambda: endpoint.prober is not None and not endpoint.prober.open)


async def test_probes_need_no_place_in_a_pool_that_is_full() -> None:
    limits = PoolLimits(max_connections=1, max_pending=0)
    async with scripted_upstream(begin_to_answer) as upstream, service_to(upstream, limits=limits) as service:
        (endpoint,) = service.endpoints
        busy = await service.call(make_request())
        await service.probe_connection(endpoint)
        response = await service.probe(endpoint, make_request())
        await response.aclose()
        assert endpoint.pool.status()["waiting"] == 0
        await busy.aclose()


@pytest.mark.parametrize("script", [begin_to_answer, say_nothing])
async def test_a_probe_that_is_given_up_leaves_no_connection(script: object) -> None:
    async with scripted_upstream(script) as upstream, service_to(upstream) as service:  # type: ignore[arg-type]
        (endpoint,) = service.endpoints

        async def probe() -> None:
            response = await service.probe(endpoint, make_request())
            try:
                await response.body.read(10)
            finally:
                await response.aclose()

        probing = asyncio.gather(probe(), return_exceptions=True)
        await until(lambda: bool(upstream.wires) and endpoint.prober is not None and endpoint.prober.open == 1)
        await asyncio.sleep(0)
        probing.cancel()
        await asyncio.gather(probing, return_exceptions=True)
        await until(lambda: endpoint.prober is not None and not endpoint.prober.open)


async def test_a_probe_of_what_is_out_of_reach_fails_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with scripted_upstream(answer) as upstream:
        pass
    async with service_to(upstream) as service:
        (endpoint,) = service.endpoints
        for _ in range(2):
            with pytest.raises(ConnectError):
                await service.probe_connection(endpoint)
            with pytest.raises(ConnectError):
                await service.probe(endpoint, make_request())
    assert caplog.text == ""


@pytest.mark.parametrize(("host", "sent"), [("keep", None), ("endpoint", None), ("shop.test", "shop.test")])
async def test_a_probe_without_a_host_gets_that_of_the_service(host: str, sent: str | None) -> None:
    seen: list[str] = []

    async def note(wire: Wire) -> None:
        seen.append((await wire.message()).headers["host"])
        await wire.send(OK)
        await wire.rest()

    async with scripted_upstream(note) as upstream, service_to(upstream, host=host) as service:
        (endpoint,) = service.endpoints
        bare, own = make_request(), make_request(headers={"host": "own.test"})
        del bare.headers["host"]
        for request in (bare, own):
            await (await service.probe(endpoint, request)).aclose()
        assert seen == [sent or endpoint.origin.authority, "own.test"]
