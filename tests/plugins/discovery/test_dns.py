from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Generator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from pydantic import ValidationError

from meshwright_plugins.discovery.dns import Dns
from meshwright_plugins.discovery.dns.options import parse_server
from meshwright_sdk import Context, Instance, SideWork, Tasks
from meshwright_sdk.testing import build, check_discovery
from tests.plugins.noted_clock import NotedClock
from tests.ports import free_port

DNSMASQ = shutil.which("dnsmasq") or shutil.which("dnsmasq", path="/usr/sbin:/usr/local/sbin")
needs_dnsmasq = pytest.mark.skipif(DNSMASQ is None, reason="needs dnsmasq (Debian package dnsmasq-base)")
WITHIN_S = 30

T = TypeVar("T")


class DnsServer:
    """A real dnsmasq that answers for `.test` from a file of hosts, on one port for its whole life."""

    def __init__(self, folder: Path) -> None:
        self.hosts = folder / "hosts"
        self.hosts.write_text("")
        self.port = free_port(udp=True)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, *arguments: str, ttl_s: int = 0) -> None:
        assert DNSMASQ is not None
        self._process = await asyncio.create_subprocess_exec(
            DNSMASQ, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=",
            "--local=/test/", "--listen-address=127.0.0.1", "--bind-interfaces", f"--port={self.port}",
            f"--addn-hosts={self.hosts}", f"--local-ttl={ttl_s}", *arguments,
            *(["--user=root"] if os.geteuid() == 0 else []),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip

        async with asyncio.timeout(WITHIN_S):
            await self._listening()

    async def _listening(self) -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                await writer.wait_closed()
                return

    def publish(self, *lines: str) -> None:
        """Replace the hosts; dnsmasq reads them again on SIGHUP."""
        self.hosts.write_text("".join(f"{line}\n" for line in lines))
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[DnsServer]:
    server = DnsServer(tmp_path)
    yield server
    await server.stop()


def dns_of(server: DnsServer, **options: Any) -> Dns:
    defaults = {"host": "orders.test", "server": server.address, "min_ttl": "20ms", "timeout": "1s"}
    if options.get("record") != "srv":
        defaults["port"] = 8000  # type: ignore[assignment]
    return build(Dns, **(defaults | options))


async def next_of(lists: AsyncIterator[Sequence[Instance]]) -> list[tuple[str, int]]:
    async with asyncio.timeout(WITHIN_S):
        return [(instance.url, instance.weight) for instance in await anext(lists)]


@needs_dnsmasq
async def test_addresses_are_reported_now_and_when_they_change(server: DnsServer) -> None:
    server.publish("10.0.0.2 orders.test", "10.0.0.1 orders.test")
    await server.start()
    lists = aiter(dns_of(server).watch())
    first = await next_of(lists)
    server.publish("10.0.0.3 orders.test")
    second = await next_of(lists)

    assert first == [("http://10.0.0.1:8000", 1), ("http://10.0.0.2:8000", 1)]
    assert second == [("http://10.0.0.3:8000", 1)]


class CountedWork(SideWork):
    """Counts the steps of what is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    async def run(self, steps: Generator[None, None, T]) -> T:
        return await super().run(self._counted(steps))

    def _counted(self, steps: Generator[None, None, T]) -> Generator[None, None, T]:
        while True:
            try:
                next(steps)
            except StopIteration as done:
                result: T = done.value
                return result
            self.steps += 1
            yield


@needs_dnsmasq
async def test_many_addresses_are_read_a_few_in_a_turn(server: DnsServer) -> None:
    side_work, hosts = CountedWork(), [f"10.0.{number // 200}.{number % 200 + 1}" for number in range(400)]
    server.publish(*(f"{host} orders.test" for host in hosts))
    await server.start()
    found = await next_of(aiter(dns_of(server, context=Context(side_work=side_work)).watch()))

    assert sorted(found) == sorted((f"http://{host}:8000", 1) for host in hosts)
    assert side_work.steps >= 8


@needs_dnsmasq
async def test_ipv6_addresses_stand_in_brackets(server: DnsServer) -> None:
    server.publish("fd00::1 orders.test", "10.0.0.1 orders.test")
    await server.start()

    assert await next_of(aiter(dns_of(server, record="aaaa", scheme="https").watch())) == [
        ("https://[fd00::1]:8000", 1)
    ]


@needs_dnsmasq
async def test_srv_records_bring_ports_and_weights_of_the_best_priority(server: DnsServer) -> None:
    server.publish("10.0.0.1 a.test", "10.0.0.2 b.test", "fd00::3 c.test", "10.0.0.9 spare.test")
    records = ["a.test,8001,1,2", "b.test,8002,1,1", "c.test,8003,1,0", "gone.test,8004,1,1", "spare.test,9000,2,9"]
    await server.start(*(f"--srv-host=_http._tcp.orders.test,{record}" for record in records))

    assert await next_of(aiter(dns_of(server, record="srv", host="_http._tcp.orders.test").watch())) == [
        ("http://10.0.0.1:8001", 2),
        ("http://10.0.0.2:8002", 1),
        ("http://[fd00::3]:8003", 0),
    ]


@needs_dnsmasq
async def test_changed_srv_records_are_followed(server: DnsServer) -> None:
    server.publish("10.0.0.1 a.test", "10.0.0.2 b.test")
    await server.start("--srv-host=_http._tcp.orders.test,a.test,8001")
    lists = aiter(dns_of(server, record="srv", host="_http._tcp.orders.test").watch())
    first = await next_of(lists)
    await server.stop()
    await server.start("--srv-host=_http._tcp.orders.test,b.test,8002,0,5")

    assert first == [("http://10.0.0.1:8001", 0)]
    assert await next_of(lists) == [("http://10.0.0.2:8002", 5)]


@needs_dnsmasq
@pytest.mark.parametrize("record", ["_http._tcp.orders.test", "_http._tcp.orders.test,gone.test,8001"])
async def test_an_answer_without_an_instance_counts_as_a_failure(
    server: DnsServer, record: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = NotedClock()
    await server.start(f"--srv-host={record}")
    watching = Tasks().spawn(
        drain(dns_of(server, record="srv", host="_http._tcp.orders.test", clock=clock, timeout="10s").watch()),
        name="watch",
    )
    await until(clock, lambda: caplog.records)
    watching.cancel()

    assert "names no instance: _http._tcp.orders.test" in caplog.text


@needs_dnsmasq
@pytest.mark.parametrize("gone", ["name", "server"])
async def test_the_last_good_answer_stays_and_the_log_says_so_once(
    server: DnsServer, gone: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "meshwright.discovery.dns")
    clock = NotedClock()
    server.publish("10.0.0.1 orders.test")
    await server.start(ttl_s=5)
    lists = aiter(dns_of(server, clock=clock, timeout="100ms").watch())
    first = Tasks().spawn(next_of(lists), name="first list")
    await until(clock, first.done)
    assert await first == [("http://10.0.0.1:8000", 1)]
    caplog.clear()
    changed = Tasks().spawn(next_of(lists), name="next list")
    if gone == "server":
        await server.stop()
    else:
        server.publish("10.0.0.1 other.test")
    await until(clock, lambda: len(caplog.records) == 1)
    failures = len(clock.pauses)
    await until(clock, lambda: len(clock.pauses) > failures + 3)

    assert not changed.done()

    server.publish("10.0.0.2 orders.test")
    if gone == "server":
        await server.start()
    await until(clock, changed.done)

    assert await changed == [("http://10.0.0.2:8000", 1)]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "the last good answer stays" in caplog.text


async def until(clock: NotedClock, met: Any) -> None:
    """Turn the clock on, while real questions and answers take their real time, until something is so."""
    async with asyncio.timeout(WITHIN_S):
        while not met():
            await clock.advance(6)
            await asyncio.sleep(0.01)


@needs_dnsmasq
@pytest.mark.parametrize(
    ("ttl_s", "pause_s", "options"),
    [
        (30, 30.0, {}),
        (0, 2.0, {}),
        (1, 2.0, {}),
        (9999, 60.0, {}),
        (30, 30.0, {"record": "srv", "host": "_http._tcp.orders.test"}),
    ],
)
async def test_the_next_question_waits_for_the_time_to_live_within_bounds(
    server: DnsServer, ttl_s: int, pause_s: float, options: dict[str, str]
) -> None:
    clock = NotedClock()
    server.publish("10.0.0.1 orders.test")
    await server.start("--srv-host=_http._tcp.orders.test,orders.test,8001", ttl_s=ttl_s)
    lists = aiter(dns_of(server, clock=clock, min_ttl="2s", max_ttl="1m", timeout="10s", **options).watch())
    await next_of(lists)
    clock.pauses.clear()
    again = Tasks().spawn(next_of(lists), name="next list")
    await asyncio.sleep(0)
    again.cancel()

    assert clock.pauses == [pause_s]


@needs_dnsmasq
async def test_an_answer_in_another_order_is_no_change(server: DnsServer) -> None:
    server.publish(*(f"10.0.0.{number} orders.test" for number in range(1, 9)))
    await server.start()
    lists = aiter(dns_of(server).watch())
    first = await next_of(lists)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await anext(lists)

    assert len(first) == 8


@needs_dnsmasq
async def test_a_watch_ends_when_it_is_cancelled_whatever_it_waits_for(server: DnsServer) -> None:
    server.publish("10.0.0.1 orders.test")
    await server.start()
    tasks, loop = Tasks(), asyncio.get_running_loop()
    for attempt in range(300):
        watching = tasks.spawn(drain(dns_of(server).watch()), name="watch")
        loop.call_later(attempt * 10e-6, watching.cancel)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(watching), WITHIN_S)


async def drain(lists: AsyncIterator[Sequence[Instance]]) -> None:
    async for _ in lists:
        pass


def test_without_dnspython_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dns", None)
    for module in [
        name for name in sys.modules if name.startswith(("dns.", "meshwright_plugins.discovery.dns.lookup"))
    ]:
        monkeypatch.delitem(sys.modules, module)

    with pytest.raises(
        ValueError, match=r"expected the package dnspython \(pip install 'meshwright\[dns\]'\); got none"
    ):
        build(Dns, host="orders.test", port=80)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "expected a port with record a; got none"),
        ({"record": "srv", "port": 80}, "expected no port with record srv, which brings its own; got 80"),
        ({"port": 80, "min_ttl": "2s", "max_ttl": "1s"}, "expected min_ttl above 0 and at most max_ttl; got 2s and 1s"),
        ({"port": 80, "min_ttl": "0s"}, "expected min_ttl above 0"),
        ({"port": 80, "timeout": "0s"}, "expected a timeout above 0s; got 0s"),
        ({"port": 80, "server": "ns.test:53"}, "such as 127.0.0.1:5353 or [::1]:5353; got 'ns.test:53'"),
        ({"port": 80, "server": "127.0.0.1:0"}, "got '127.0.0.1:0'"),
        ({"port": 0}, "greater than or equal to 1"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        build(Dns, host="orders.test", **options)

    assert problem in str(caught.value)


@pytest.mark.parametrize("host", ["a..test", "x" * 64])
def test_what_is_no_name_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match=r"host: expected a DNS name \(.*\); got "):
        build(Dns, host=host, port=80, server="127.0.0.1")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1", ("127.0.0.1", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("[::1]:5353", ("::1", 5353)),
        ("[::1]", ("::1", 53)),
        ("::1", ("::1", 53)),
    ],
)
def test_a_server_is_an_address_and_maybe_a_port(text: str, parts: tuple[str, int]) -> None:
    assert parse_server(text) == parts


@needs_dnsmasq
async def test_it_holds_to_the_contract_of_discoveries(server: DnsServer) -> None:
    server.publish("10.0.0.1 orders.test")
    await server.start()

    await check_discovery(dns_of(server))
