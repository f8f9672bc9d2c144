"""Health checks against a fake service and a manual clock, and of real endpoints that die and recover."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from pydantic import ValidationError

from meshwright_plugins.policies.health_check import HealthCheck
from meshwright_sdk import ConnectError, Context, Metrics, Request, ResetError, Response
from meshwright_sdk.testing import FakeService, ManualClock, build, check_policy, gateway
from tests.certificates import write_authority, write_certificate
from tests.plugins.policies.configs import config_of
from tests.plugins.policies.upstream import Upstream, running_upstream


class Bench:
    """A health check every second without jitter, a service, and the clock they share."""

    def __init__(self, endpoints: int = 3, *, seed_interval: str = "1s", **options: Any) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        self.service = FakeService(endpoints, clock=self.clock, panic_threshold=0.0)
        context = Context(service="orders", clock=self.clock, metrics=self.metrics)
        options = {"interval": seed_interval, "jitter": "0%", "path": "/healthz", "fall": 2, "rise": 3, **options}
        if options.get("kind") == "tcp":
            del options["path"]
        self.check = build(HealthCheck, context=context, **options)

    @property
    def usable(self) -> list[int]:
        group = self.service.group
        return [group.all.index(each) for each in group.usable]

    def counts(self) -> dict[str, float]:
        family = self.metrics.families["meshwright_health_check_endpoints"]
        return {dict(labels)["state"]: metric.value for labels, metric in family.metrics.items()}  # type: ignore[union-attr]

    async def until_asked(self, times: int) -> None:
        """Let time go by until the first endpoint was asked so often, from its last answer on."""
        first = self.service.endpoints[0]
        async with asyncio.timeout(10):
            while sum(endpoint is first for endpoint, _ in self.service.probes) < times:
                await self.clock.advance(0.01)


async def test_it_keeps_to_the_contract_of_policies() -> None:
    for options in ({}, {"kind": "tcp"}, {"initial": "unhealthy", "fall": 1, "rise": 1}):
        clock = ManualClock()
        await check_policy(
            build(HealthCheck, clock=clock, interval="1s", timeout="10ms", **options), wait=clock.advance
        )


async def test_so_many_failures_in_a_row_take_an_endpoint_out_and_so_many_good_answers_bring_it_back() -> None:
    bench = Bench()
    first = bench.service.endpoints[0]
    async with bench.service.running(bench.check):
        bench.service.answer(first, 503, 200, 503, 500, 200)
        await bench.until_asked(3)
        assert bench.usable == [0, 1, 2]
        await bench.until_asked(4)
        assert bench.usable == [1, 2]
        assert first.ejections == {"health_check": "status 500"}
        await bench.until_asked(6)
        assert bench.usable == [1, 2]
        assert first.ejections == {"health_check": "it has not answered well often enough"}
        await bench.until_asked(7)
        assert bench.usable == [0, 1, 2]
        assert first.health == "healthy"


async def test_an_endpoint_is_unchecked_until_it_has_answered() -> None:
    bench = Bench(1)
    (endpoint,) = bench.service.endpoints
    async with bench.service.running(bench.check):
        assert endpoint.health == "unchecked"
        await bench.clock.advance(1.0)
        assert endpoint.health == "healthy"


async def test_endpoints_may_have_to_prove_themselves_first() -> None:
    bench = Bench(2, initial="unhealthy", fall=5)
    first, second = bench.service.endpoints
    bench.service.answer(first, 503, ConnectError("upstream: nobody listens"), 200, 503)
    bench.service.answer(second, 503)
    async with bench.service.running(bench.check):
        assert first.ejections == {"health_check": "it has not answered a health check yet"}
        await bench.until_asked(2)
        assert first.ejections == {"health_check": "nobody listens"}
        await bench.until_asked(3)
        assert (first.health, second.health) == ("healthy", "ejected")
        await bench.until_asked(7)
        assert first.health == "healthy"


@pytest.mark.parametrize(
    ("options", "answer", "problem"),
    [
        ({}, lambda: 200, ""),
        ({}, lambda: 204, ""),
        ({}, lambda: 301, "status 301"),
        ({"statuses": ["3xx", 401]}, lambda: 301, ""),
        ({"statuses": ["3xx", 401]}, lambda: 401, ""),
        ({"statuses": ["3xx", 401]}, lambda: 200, "status 200"),
        ({"contains": "ready"}, lambda: Response(200, {}, b"all ready"), ""),
        ({"contains": "ready"}, lambda: Response(200, {}, b"x" * 65531 + b"ready"), ""),
        (
            {"contains": "ready"},
            lambda: Response(200, {}, b"x" * 65532 + b"ready"),
            "its answer does not contain 'ready'",
        ),
        ({"contains": "ready"}, lambda: Response(200, {}, pieces(b"rea", b"dy")), ""),
        ({"contains": "ready"}, lambda: Response(200, {}, b""), "its answer does not contain 'ready'"),
        ({}, lambda: ResetError("upstream: broke off"), "broke off"),
        ({}, TimeoutError, "no answer within 2s"),
        ({}, lambda: None, "no answer within 10ms"),
        ({"kind": "tcp"}, lambda: 200, ""),
        ({"kind": "tcp"}, lambda: ConnectError("upstream: no connection could be made"), "no connection could be made"),
        ({}, lambda: KeyError("a mistake"), "the health check failed itself: see the log"),
    ],
)
async def test_what_an_answer_means(
    options: dict[str, Any], answer: Callable[[], Any], problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    timeout = {"timeout": "10ms"} if "10ms" in problem else {}
    bench = Bench(1, fall=1, **timeout, **options)
    (endpoint,) = bench.service.endpoints
    bench.service.answer(endpoint, answer())
    async with bench.service.running(bench.check):
        await bench.until_asked(1)
        await settled(lambda: bench.service.probing == 0)

        assert endpoint.ejections == ({"health_check": problem} if problem else {})
        assert all(response.closed for response in bench.service.given)
    assert ("a mistake" in caplog.text) is ("itself" in problem)


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def settled(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_request_is_the_one_of_the_options() -> None:
    bench = Bench(
        1, path="/healthz?full=1", method="OPTIONS", host="shop.test:81", headers={"x-probe": "1", "user-agent": "me"}
    )
    async with bench.service.running(bench.check):
        await bench.until_asked(1)
    ((_, request),) = bench.service.probes
    assert isinstance(request, Request)
    assert (request.method, request.path, request.query) == ("OPTIONS", "/healthz", "full=1")
    assert dict(request.headers.multi_items()) == {
        "user-agent": "me",
        "accept": "*/*",
        "x-probe": "1",
        "host": "shop.test:81",
    }


async def test_without_a_host_the_service_says_which() -> None:
    bench = Bench(1)
    async with bench.service.running(bench.check):
        await bench.until_asked(1)
    ((_, request),) = bench.service.probes
    assert isinstance(request, Request)
    assert "host" not in request.headers


async def test_a_change_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "meshwright.health_check")
    bench = Bench(1, fall=2, rise=2)
    (endpoint,) = bench.service.endpoints
    bench.service.answer(endpoint, *[503] * 6, *[200] * 2)
    async with bench.service.running(bench.check):
        await bench.until_asked(12)
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("WARNING", f"service orders: {endpoint.url} is out: status 503"),
        ("INFO", f"service orders: {endpoint.url} is in again"),
    ]


async def test_endpoints_that_come_are_asked_and_those_that_go_are_not() -> None:
    bench = Bench(2)
    async with bench.service.running(bench.check):
        gone = bench.service.endpoints[0]
        await bench.clock.advance(2.0)
        bench.service.remove(gone)
        bench.service.probes.clear()
        bench.service.add("http://10.9.9.9:80")
        await bench.clock.advance(3.0)
        asked = Counter(endpoint.url for endpoint, _ in bench.service.probes)
        assert set(asked) == {"http://10.0.0.2:8000", "http://10.9.9.9:80"}


async def test_so_many_are_asked_at_the_same_time_at_most() -> None:
    bench = Bench(100, max_in_flight=7, timeout="1m")
    for endpoint in bench.service.endpoints:
        bench.service.answer(endpoint, None)
    async with bench.service.running(bench.check):
        await bench.clock.advance(5.0)
        assert bench.service.probing == 7
    assert bench.service.probing == 0


async def test_endpoints_and_questions_are_counted_until_the_policy_is_closed() -> None:
    bench = Bench(3, fall=1)
    bench.service.answer(bench.service.endpoints[0], 503)
    async with bench.service.running(bench.check):
        await bench.clock.advance(1.0)
        assert bench.counts() == {"healthy": 2, "unhealthy": 1}
        assert bench.check.state()["endpoints"][bench.service.endpoints[0].url]["problem"] == "status 503"
        bench.service.remove(bench.service.endpoints[0])
        assert bench.counts() == {"healthy": 2, "unhealthy": 0}
    assert bench.counts() == {"healthy": 0, "unhealthy": 0}
    family = bench.metrics.families["meshwright_health_check_probes_total"]
    counted = {dict(labels)["result"]: metric.value for labels, metric in family.metrics.items()}  # type: ignore[union-attr]
    assert counted["bad"] > 0
    assert sum(counted.values()) == len(bench.service.probes)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"path": "healthz"}, "expected a path such as /healthz"),
        ({"path": "/a b"}, "expected a path such as /healthz"),
        ({"kind": "tcp", "path": "/x"}, "path: expected none with kind: tcp"),
        ({"kind": "tcp", "statuses": ["2xx"]}, "statuses: expected none with kind: tcp"),
        ({"method": "HEAD", "contains": "x"}, "contains: expected none with method: HEAD"),
        ({"interval": "0s"}, "greater than 0"),
        ({"timeout": "0s"}, "greater than 0"),
        ({"fall": 0}, "greater than 0"),
        ({"statuses": ["2x"]}, "expected a status such as 503"),
        ({"host": "a b"}, "match pattern"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        build(HealthCheck, **options)


FAST = "path: /healthz, contains: ready, interval: 20ms, fall: 2, rise: 2"


def checked(*upstreams: Upstream, check: str, service: str = "") -> str:
    """Return the YAML of a gateway that uses those of the upstreams which pass the check, and no other."""
    return config_of(
        upstreams, f"health_check: {{{check}}}", service=f"balancer: round_robin, panic_threshold: 0%, {service}"
    )


async def until_gone(client: aiohttp.ClientSession, url: str, upstream: Upstream, *, gone: bool) -> None:
    """Ask until eight answers in a row come from others than the upstream, or until one comes from it."""
    others = 0
    async with asyncio.timeout(10):
        while True:
            async with client.get(url) as answer:
                served = await answer.text() == upstream.url
                others = 0 if served or answer.status != 200 else others + 1
            if (gone and others == 8) or (served and not gone):
                return


async def test_an_endpoint_that_is_not_ready_gets_no_requests_until_it_is() -> None:
    async with (
        running_upstream() as one,
        running_upstream() as two,
        gateway(checked(one, two, check=FAST)) as gate,
        aiohttp.ClientSession() as client,
    ):
        one.healthy = False
        await until_gone(client, gate.url, one, gone=True)
        before, probed = one.asked["/"], one.asked["/healthz"]
        for _ in range(30):
            async with client.get(gate.url) as answer:
                assert (answer.status, await answer.text()) == (200, two.url)
        assert one.asked["/"] == before
        one.healthy = True
        await until_gone(client, gate.url, one, gone=False)
        assert one.asked["/healthz"] > probed


async def test_an_endpoint_that_has_died_and_come_back_is_used_again() -> None:
    check = "kind: tcp, interval: 20ms, fall: 2, rise: 2"
    async with (
        running_upstream() as one,
        running_upstream() as two,
        gateway(checked(one, two, check=check)) as gate,
        aiohttp.ClientSession() as client,
    ):
        await until_gone(client, gate.url, one, gone=False)
        await one.die()
        await until_gone(client, gate.url, one, gone=True)
        for _ in range(20):
            async with client.get(gate.url) as answer:
                assert answer.status == 200
        await one.start()
        await until_gone(client, gate.url, one, gone=False)


async def test_endpoints_with_tls_are_asked_as_the_service_asks_them(tmp_path: Path) -> None:
    write_certificate(tmp_path, "127.0.0.1", stem="shop")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(tmp_path / "shop.pem", tmp_path / "shop.key")
    trust = f"tls: {{ca: {write_authority(tmp_path)}}}"
    async with running_upstream(tls=tls) as one, aiohttp.ClientSession() as client:
        check = f"{FAST}, initial: unhealthy"
        async with gateway(checked(one, check=check, service=trust)) as gate:
            await until_gone(client, gate.url, one, gone=False)
            await until_asked(one, 3)
        async with gateway(checked(one, check=check)):
            asked = one.asked["/healthz"]
            await asyncio.sleep(0.1)
            assert one.asked["/healthz"] == asked


async def test_endpoints_at_unix_sockets_are_asked(tmp_path: Path) -> None:
    async with running_upstream(socket=tmp_path / "shop.sock") as one, gateway(checked(one, check=FAST)):
        await until_asked(one, 3)


async def until_asked(upstream: Upstream, times: int) -> None:
    async with asyncio.timeout(10):
        while upstream.asked["/healthz"] < times:  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.01)
