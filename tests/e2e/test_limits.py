"""The limits of a listener as its YAML sets them, and what a thousand slow senders cost."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from prometheus_client.parser import text_string_to_metric_families

from tests.core.http1.wire import Wire, connect, scripted_upstream
from tests.e2e.gateway_process import GatewayFile, GatewayProcess, eventually, running_gateway

YAML = """\
listeners:
  - name: web
    bind: "127.0.0.1:0"
    limits: LIMITS
  - {name: paced, bind: "127.0.0.1:0", limits: {body_rate: 1KiB, body_grace: 1s}}
admin: {bind: "127.0.0.1:0"}
routes: [{name: all, to: back}]
services:
  back: {endpoints: ["UPSTREAM"]}
"""
LIMITS = (
    "{header_size: 2KiB, headers: 5, target_length: 64B, body_size: 1KiB, header_timeout: 1s, body_timeout: 1s, "
    "body_rate: 1KiB, body_grace: 1s, idle_timeout: 1500ms, half_close_timeout: 1s}"
)
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\n"

Connect = Callable[..., Awaitable[Wire]]


@asynccontextmanager
async def gateway_with(limits: str, folder: Path) -> AsyncIterator[tuple[GatewayProcess, Connect]]:
    """Run a gateway with these limits; whatever is below /stuck is never answered."""

    async def script(wire: Wire) -> None:
        while (await wire.message()).target != "/stuck":
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        await wire.rest()

    async with scripted_upstream(script) as upstream:
        text = YAML.replace("UPSTREAM", upstream.url).replace("LIMITS", limits)
        async with running_gateway(GatewayFile(folder / "gateway.yaml", text)) as gateway:
            yield gateway, lambda listener="web": connect(int(gateway.urls[listener].rpartition(":")[2]))
            assert await gateway.stop() == 0


async def refusals(gateway: GatewayProcess) -> Counter[str]:
    """Return how many requests were refused, by status."""
    families = text_string_to_metric_families((await gateway.get("/metrics")).text)
    samples = next(each.samples for each in families if each.name == "meshwright_refused_requests")
    counts = Counter[str]()
    for each in samples:
        counts[each.labels["status"]] += int(each.value)
    return +counts


def head_of(size: int) -> bytes:
    start = b"GET / HTTP/1.1\r\nhost: a\r\nx: "
    return start + b"a" * (size - len(start)) + b"\r\n\r\n"


SIZES = [
    (head_of(2048), 200),
    (head_of(2049), 431),
    (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: a\r\n" * 4 + b"\r\n", 200),
    (b"GET / HTTP/1.1\r\nhost: a\r\n" + b"x: a\r\n" * 5 + b"\r\n", 431),
    (b"GET /" + b"a" * 63 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 200),
    (b"GET /" + b"a" * 64 + b" HTTP/1.1\r\nhost: a\r\n\r\n", 414),
    (POST + b"content-length: 1024\r\n\r\n" + bytes(1024), 200),
    (POST + b"content-length: 1025\r\n\r\n" + bytes(1025), 413),
    (POST + b"transfer-encoding: chunked\r\n\r\n400\r\n" + bytes(1024) + b"\r\n0\r\n\r\n", 200),
    (POST + b"transfer-encoding: chunked\r\n\r\n401\r\n" + bytes(1025) + b"\r\n0\r\n\r\n", 413),
]


async def answered(connect: Connect, sent: bytes, status: int) -> None:
    wire = await connect()
    await wire.send(sent)
    answer = await wire.message()
    assert answer.status == status, sent[:60]
    if status != 200:
        assert json.loads(answer.body)["status"] == status
        assert await wire.ended()
    wire.close()


async def too_late(connect: Connect, sent: bytes, why: str, drop: bytes = b"", *, listener: str = "web") -> None:
    """Send, then `drop` now and then, until the request is refused."""
    wire = await connect(listener)
    start = monotonic()
    await wire.send(sent)
    answering = asyncio.gather(wire.message())
    while drop and not answering.done():
        await wire.send(drop)
        await asyncio.wait([answering], timeout=0.2)
    (answer,) = await answering
    assert (answer.status, json.loads(answer.body)["code"]) == (408, "request_timeout")
    assert why in json.loads(answer.body)["detail"]
    assert monotonic() - start > 0.9
    assert await wire.ended()
    wire.close()


async def closed_unanswered(connect: Connect, sent: bytes, answers: int, *, half: bool = False) -> None:
    wire = await connect()
    start = monotonic()
    await wire.send(sent)
    if half:
        wire.writer.write_eof()
    assert [(await wire.message()).status for _ in range(answers)] == [200] * answers
    await wire.ended()
    assert 0.9 < monotonic() - start < 9
    wire.close()


async def test_every_limit_is_what_the_yaml_says(tmp_path: Path) -> None:
    async with gateway_with(LIMITS, tmp_path) as (gateway, connect):
        await asyncio.gather(
            *(answered(connect, sent, status) for sent, status in SIZES),
            too_late(connect, b"GET / HTTP/1.1\r\nho", "head: not complete in time"),
            too_late(connect, POST + b"content-length: 9\r\n\r\n", "got nothing for 1 s"),
            too_late(
                connect, POST + b"content-length: 999\r\n\r\n", "got less than 1024 bytes/s", b"a", listener="paced"
            ),
            closed_unanswered(connect, b"", 0),
            closed_unanswered(connect, GET, 1),
            closed_unanswered(connect, b"GET /stuck HTTP/1.1\r\nhost: a\r\n\r\n", 0, half=True),
        )
        assert await refusals(gateway) == {"408": 3, "413": 2, "414": 1, "431": 2}


SENDERS = 1000
HEAD_TIME_S = 3.0
BYTES_EACH = 12 * 1024


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


async def open_connections(gateway: GatewayProcess) -> int:
    families = text_string_to_metric_families((await gateway.get("/metrics")).text)
    samples = next(each.samples for each in families if each.name == "meshwright_connections_open")
    return sum(int(each.value) for each in samples)


async def crawl(wire: Wire) -> tuple[int, bool]:
    """Send a byte a second until there is an answer; return its status and whether the connection ended then."""
    answering = asyncio.gather(wire.message())
    for byte in GET:
        wire.writer.write(bytes((byte,)))
        done, _ = await asyncio.wait([answering], timeout=1)
        if done:
            break
    (answer,) = await answering
    ended = await wire.ended()
    wire.close()
    return answer.status, ended


async def median_s(connect: Connect, count: int = 100) -> float:
    """Return how long a request takes."""
    wire = await connect()
    times = []
    for _ in range(count):
        start = monotonic()
        await wire.send(GET)
        assert (await wire.message()).status == 200
        times.append(monotonic() - start)
    wire.close()
    return statistics.median(times)


async def test_a_thousand_slow_senders_hold_nothing_and_harm_nobody(tmp_path: Path) -> None:
    async with gateway_with(f"{{header_timeout: {HEAD_TIME_S:g}s}}", tmp_path) as (gateway, connect):
        alone_s = await median_s(connect)
        before = resident_bytes(gateway.pid)
        wires = [await connect() for _ in range(SENDERS)]
        start = monotonic()
        crawling = asyncio.gather(*map(crawl, wires))

        async def most_are_open() -> bool:
            return await open_connections(gateway) > SENDERS / 2

        await eventually(most_are_open)
        among_them_s = await median_s(connect)
        grown = resident_bytes(gateway.pid) - before
        assert not crawling.done()
        assert await crawling == [(408, True)] * SENDERS
        assert monotonic() - start < HEAD_TIME_S + 5

        assert grown < SENDERS * BYTES_EACH
        assert among_them_s < max(10 * alone_s, 0.02)
        assert await refusals(gateway) == {"408": SENDERS}

        async def none_is_open() -> bool:
            return await open_connections(gateway) == 0

        await eventually(none_is_open)
