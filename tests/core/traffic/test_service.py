from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

import pytest

from meshwright.traffic import service as service_module
from meshwright.traffic.chooser import Chooser
from meshwright.traffic.pool import PoolLimits
from meshwright.traffic.service import Service
from meshwright_plugins.balancers.weighted_round_robin import WeightedRoundRobin
from meshwright_sdk import (
    Balancer,
    Body,
    ConnectError,
    Context,
    Counter,
    Discovery,
    Endpoint,
    Instance,
    Metrics,
    NoEndpointsError,
    NoOptions,
    PluginError,
    ProtocolError,
    Request,
    ResetError,
    SideWork,
)
from meshwright_sdk.balancing import AnyBalancer
from meshwright_sdk.testing import ManualClock, make_request
from tests.core.http1.wire import Message, ScriptedUpstream, Wire, scripted_upstream, turns, until

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def answer(wire: Wire) -> None:
    while True:
        await wire.message()
        await wire.send(OK)


async def half(wire: Wire) -> None:
    await wire.message()
    await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
    await wire.rest()


class Told(Discovery[NoOptions]):
    """A discovery that a test tells what to report; an exception is raised instead."""

    def __init__(self) -> None:
        super().__init__(NoOptions(), Context())
        self.reports: asyncio.Queue[Sequence[Instance] | Exception] = asyncio.Queue()
        self.watches = 0
        self.closed = False

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        self.watches += 1
        while True:
            report = await self.reports.get()
            if isinstance(report, Exception):
                raise report
            yield report

    async def close(self) -> None:
        self.closed = True


class NeverWarm(WeightedRoundRobin):
    """Must not be told to warm up."""

    async def warm_up(self, endpoints: Sequence[Endpoint]) -> None:
        raise AssertionError


async def make_service(
    discovery: Discovery[NoOptions],
    metrics: Metrics | None = None,
    host: str = "keep",
    balancer: AnyBalancer | None = None,
) -> Service:
    round_robin = WeightedRoundRobin(NoOptions(), Context(random=Random(1)))  # which begins with the first
    chooser = Chooser(balancer or round_robin)
    await chooser.start()
    return Service(
        "orders",
        chooser=chooser,
        discovery=discovery,
        limits=PoolLimits(),
        metrics=metrics or Metrics(),
        side_work=SideWork(ManualClock().monotonic),  # no turn has more steps because it was late
        host=host,
    )


@asynccontextmanager
async def service_to(*upstreams: ScriptedUpstream, host: str = "keep") -> AsyncIterator[tuple[Service, Told]]:
    discovery = Told()
    discovery.reports.put_nowait([Instance(url=upstream.url) for upstream in upstreams])
    service = await make_service(discovery, host=host)
    await service.start()
    yield service, discovery
    await service.close()
    await until(lambda: not any(each.pool.open for each in service.endpoints))


async def test_it_is_ready_when_discovery_has_reported() -> None:
    async with scripted_upstream(answer) as upstream, service_to(upstream) as (service, discovery):
        assert [endpoint.url for endpoint in service.endpoints] == [upstream.url]
    assert discovery.closed


async def test_it_is_ready_when_its_balancer_is() -> None:
    class Warm(WeightedRoundRobin):
        async def warm_up(self, endpoints: Sequence[Endpoint]) -> None:
            await asyncio.sleep(0.01)
            warm.append(endpoints)

    warm, discovery = list[Sequence[Endpoint]](), Told()
    discovery.reports.put_nowait([Instance(url="http://127.0.0.1:9")])
    service = await make_service(discovery, balancer=Warm(NoOptions(), Context()))
    await service.start()

    assert warm == [service.group.usable]
    await service.close()


async def test_it_has_a_balancer_that_cannot_start_do_nothing() -> None:
    class Broken(NeverWarm):
        async def start(self) -> None:
            raise OSError("no disk")

    discovery, chooser = Told(), Chooser(Broken(NoOptions(), Context()))
    discovery.reports.put_nowait([Instance(url="http://127.0.0.1:9")])
    service = Service("orders", chooser=chooser, discovery=discovery, limits=PoolLimits(), metrics=Metrics())
    failure, ready = await asyncio.gather(chooser.start(), service.start(), return_exceptions=True)

    assert isinstance(failure, OSError)
    assert ready is None
    await service.close()


async def test_many_new_endpoints_are_made_a_few_in_a_turn_and_come_all_at_once() -> None:
    async with service_to() as (service, discovery):
        discovery.reports.put_nowait([Instance(url=f"http://127.0.0.1:{port}") for port in range(1, 1_001)])
        seen = []
        while len(service.endpoints) < 1_000:
            seen.append(len(service.endpoints))
            await asyncio.sleep(0)

        assert len(seen) >= 1_000 / service_module.ENDPOINTS_A_STEP
        assert set(seen) == {0}
        assert [endpoint.url for endpoint in service.group.usable] == [endpoint.url for endpoint in service.endpoints]


async def test_it_starts_without_endpoints_when_discovery_is_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service_module, "FIRST_ANSWER_S", 0.0)
    service = await make_service(Told(), balancer=NeverWarm(NoOptions(), Context()))
    await service.start()
    assert "no endpoints are known yet" in caplog.text
    with pytest.raises(NoEndpointsError) as raised:
        await service.call(make_request())
    assert raised.value.status == 503
    await service.close()


async def test_a_call_counts_as_in_flight_until_its_response_has_ended() -> None:
    async with scripted_upstream(half) as upstream, service_to(upstream) as (service, _):
        request = make_request()
        response = await service.call(request)
        (endpoint,) = service.endpoints
        assert response.endpoint is endpoint
        assert request.answers == [response]
        assert (endpoint.in_flight, endpoint.requests) == (1, 1)
        await response.aclose()
        await response.aclose()
        assert (endpoint.in_flight, endpoint.requests) == (0, 1)


async def test_a_call_that_fails_or_is_cancelled_is_not_in_flight() -> None:
    async def silence(wire: Wire) -> None:
        await wire.message()
        if len(upstream.wires) > 1:
            await wire.rest()

    async with scripted_upstream(silence) as upstream, service_to(upstream) as (service, _):
        (endpoint,) = service.endpoints
        with pytest.raises(ResetError):
            await service.call(make_request())
        assert endpoint.in_flight == 0

        calling = asyncio.gather(service.call(make_request()), return_exceptions=True)
        await until(lambda: endpoint.in_flight == 1)
        calling.cancel()
        await asyncio.gather(calling, return_exceptions=True)
        assert endpoint.in_flight == 0
        await until(lambda: not endpoint.pool.open)


async def test_calls_go_to_the_endpoints_in_turn() -> None:
    async with (
        scripted_upstream(answer) as one,
        scripted_upstream(answer) as two,
        service_to(one, two) as (service, _),
    ):
        urls = []
        for _ in range(4):
            response = await service.call(make_request())
            assert response.endpoint is not None
            urls.append(response.endpoint.url)
            response.settle()
        assert urls == [one.url, two.url] * 2


class Misled(Balancer[NoOptions]):
    """Returns what is no endpoint."""

    def pick(self, endpoints: Sequence[Endpoint], request: Request) -> Endpoint | None:
        return endpoints[0].url  # type: ignore[return-value]


async def test_a_balancer_that_picks_no_endpoint_is_named() -> None:
    discovery = Told()
    discovery.reports.put_nowait([Instance(url="http://127.0.0.1:9")])
    service = await make_service(discovery, balancer=Misled(NoOptions(), Context()))
    await service.start()

    expected = (
        r"^service orders: balancer misled \(.*test_service.py:\d+\): expected pick to return an endpoint or None"
    )
    with pytest.raises(PluginError, match=f"{expected}; got a str$"):
        await service.call(make_request())
    await service.close()


async def test_endpoints_that_stay_keep_their_connections_and_counts_and_those_that_go_finish() -> None:
    async with (
        scripted_upstream(half) as one,
        scripted_upstream(answer) as two,
        service_to(one, two) as (service, discovery),
    ):
        first, second = service.endpoints
        running = await service.call(make_request())
        (await service.call(make_request())).settle()
        assert second.pool.status()["idle"] == 1

        discovery.reports.put_nowait([Instance(url=two.url), Instance(url="http://127.0.0.1:9")])
        await until(lambda: first not in service.endpoints)
        assert service.endpoints[0] is second
        assert second.requests == 1
        assert (first.in_flight, first.pool.status()["active"]) == (1, 1)

        await running.aclose()
        await until(lambda: not first.pool.open)
        assert first.in_flight == 0


async def test_a_list_that_a_reload_brings_is_not_undone_by_a_report_from_before() -> None:
    discovery = Told()
    service = await make_service(discovery)
    before, after = (Instance(url=f"http://127.0.0.1:{port}") for port in (8001, 8002))
    starting = asyncio.get_running_loop().create_task(service.start())
    await discovery.reports.put([before])
    await until(discovery.reports.empty)
    assert not service.group.all  # it is being made

    service.update([after])
    await starting

    assert [endpoint.instance for endpoint in service.group.all] == [after]
    await service.close()


async def test_a_report_that_changes_nothing_keeps_the_sequence() -> None:
    async with scripted_upstream(answer) as upstream, service_to(upstream) as (service, discovery):
        before = service.endpoints
        discovery.reports.put_nowait([Instance(url=upstream.url), Instance(url=upstream.url)])
        await turns()
        assert service.endpoints is before


async def test_another_weight_keeps_connections_and_counts_and_makes_a_new_sequence() -> None:
    async with scripted_upstream(answer) as upstream, service_to(upstream) as (service, discovery):
        before = service.endpoints
        (await service.call(make_request())).settle()

        changed = Instance(url=upstream.url, weight=7, zone="b", labels={"version": "v2"})
        discovery.reports.put_nowait([changed])
        await until(lambda: service.endpoints is not before)

        (endpoint,) = service.endpoints
        assert endpoint is before[0]
        assert (endpoint.weight, endpoint.instance, endpoint.requests) == (7, changed, 1)
        assert endpoint.pool.status()["idle"] == 1


async def test_two_instances_at_one_address_are_two_endpoints() -> None:
    service = await make_service(Told(), Metrics())
    url = "http://127.0.0.1:9"
    service.update([Instance(url=url, zone="a"), Instance(url=url, zone="b")])
    first, second = service.endpoints

    service.update([Instance(url=url, zone="c"), Instance(url=url, zone="a"), Instance(url=url, zone="d")])

    assert service.endpoints[:2] == (second, first)
    assert [endpoint.instance.zone for endpoint in service.endpoints] == ["c", "a", "d"]
    service.update([])
    assert len(service._retired) == 3


async def test_a_discovery_that_fails_leaves_the_last_list_and_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service_module, "REWATCH_S", 0.0)
    async with scripted_upstream(answer) as upstream, service_to(upstream) as (service, discovery):
        discovery.reports.put_nowait(RuntimeError("no registry"))
        await until(lambda: discovery.watches == 2)
        assert [endpoint.url for endpoint in service.endpoints] == [upstream.url]
        assert "the last good list stays" in caplog.text
        discovery.reports.put_nowait([])
        await until(lambda: not service.endpoints)


def total(metrics: Metrics, name: str) -> float:
    counter = metrics.counter(name, "", service="orders")
    assert isinstance(counter, Counter)
    assert counter.read is not None
    return counter.read()


async def once(wire: Wire) -> None:
    """Answer one request; whatever comes next meets a connection that closes without a word."""
    await wire.message()
    await wire.send(OK)
    await wire.message()


async def test_a_request_that_is_sent_once_more_is_counted_also_of_an_endpoint_that_is_gone() -> None:
    metrics = Metrics()
    name = "meshwright_upstream_repeats_total"
    async with scripted_upstream(once) as upstream:
        service = await make_service(Told(), metrics)
        service.update([Instance(url=upstream.url)])
        (endpoint,) = service.endpoints
        (await service.call(make_request())).settle()
        assert total(metrics, name) == 0
        (await service.call(make_request())).settle()
        assert (total(metrics, name), endpoint.pool.connects) == (1, 2)
        with pytest.raises(ResetError):
            await service.call(make_request(method="POST"))
        assert total(metrics, name) == 1

        service.update([])
        await until(lambda: not endpoint.pool.open)
        service._forget_retired()
        assert (service._retired, total(metrics, name)) == ([], 1)


async def test_a_request_that_finds_no_other_connection_is_not_counted_as_sent_once_more() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await once(Wire(reader, writer))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    service = await make_service(Told())
    service.update([Instance(url=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")])
    (endpoint,) = service.endpoints
    (await service.call(make_request())).settle()
    server.close()
    with pytest.raises(ConnectError):
        await service.call(make_request())
    assert (endpoint.pool.connects, endpoint.pool.repeats) == (2, 0)
    await service.close()


async def test_connections_are_counted_also_those_of_endpoints_that_are_gone() -> None:
    metrics = Metrics()
    async with scripted_upstream(answer) as upstream:
        service = await make_service(Told(), metrics)
        service.update([Instance(url=upstream.url)])
        (endpoint,) = service.endpoints
        (await service.call(make_request())).settle()
        assert total(metrics, "meshwright_upstream_connects_total") == 1

        service.update([])
        await until(lambda: not endpoint.pool.open)
        assert total(metrics, "meshwright_upstream_connects_total") == 1
        service._forget_retired()
        assert service._retired == []
        assert total(metrics, "meshwright_upstream_connects_total") == 1
        assert total(metrics, "meshwright_upstream_connect_failures_total") == 0


async def test_the_status_shows_each_endpoint() -> None:
    async with scripted_upstream(answer) as upstream, service_to(upstream) as (service, _):
        (await service.call(make_request())).settle()
        status = service.status()
    assert (status["name"], status["balancer"]) == ("orders", "weighted_round_robin")
    (endpoint,) = status["endpoints"]
    assert (endpoint["url"], endpoint["requests"], endpoint["in_flight"]) == (upstream.url, 1, 0)
    assert endpoint["pool"]["idle"] == 1


@pytest.mark.parametrize(
    ("host", "sent"),
    [("keep", "Shop.test:81"), ("endpoint", "127.0.0.1:{port}"), ("orders.internal:8080", "orders.internal:8080")],
)
async def test_a_service_gets_the_host_that_it_asks_for_and_nobody_else_sees_it(host: str, sent: str) -> None:
    seen: list[Message] = []

    async def keep(wire: Wire) -> None:
        while True:
            seen.append(await wire.message())
            await wire.send(OK)

    async with scripted_upstream(keep) as upstream, service_to(upstream, host=host) as (service, _):
        request = make_request(headers={"host": "Shop.test:81", "x-a": "1"})
        for _ in range(2):
            (await service.call(request)).settle()

        assert [each.headers.getlist("host") for each in seen] == [[sent.format(port=upstream.port)]] * 2
        assert [each.headers["x-a"] for each in seen] == ["1", "1"]
        assert (request.headers.getlist("host"), len(request.answers or ())) == (["Shop.test:81"], 2)


async def test_a_body_goes_along_with_another_host() -> None:
    bodies: list[bytes] = []

    async def keep(wire: Wire) -> None:
        bodies.append((await wire.message()).body)
        await wire.send(OK)

    async def parts() -> AsyncIterator[bytes]:
        yield b"hel"
        yield b"lo"

    async with scripted_upstream(keep) as upstream, service_to(upstream, host="endpoint") as (service, _):
        (await service.call(make_request("POST", body=Body.stream(parts())))).settle()
        await until(lambda: not service.endpoints[0].pool.open)
    assert bodies == [b"hello"]


@pytest.mark.parametrize(("alert", "error"), [(b"", ResetError), (b"\x15\x03\x01\x00\x02\x02\x46", ProtocolError)])
async def test_an_http_endpoint_that_speaks_tls_is_told_of_once(
    caplog: pytest.LogCaptureFixture, alert: bytes, error: type[Exception]
) -> None:
    async def refuse(wire: Wire) -> None:
        await wire.head()
        await wire.send(alert)
        wire.close()

    async with scripted_upstream(refuse) as upstream, service_to(upstream) as (service, _):
        for _ in range(3):
            with pytest.raises(error):
                await service.call(make_request())
    (line,) = caplog.messages
    assert line.startswith("endpoint http://127.0.0.1:")
    assert ": a new connection got no answer: " in line
    assert line.endswith(" (does its port speak TLS?)")
