from __future__ import annotations

import asyncio
import socket

import pytest

from meshwright.traffic.pool import PoolLimits
from meshwright_sdk import (
    CallNext,
    ProtocolError,
    Request,
    ResetError,
    Response,
)
from meshwright_sdk.testing import make_request
from tests.core.http1.harness import gateway_to
from tests.core.http1.line import OK, answering, content, line_to
from tests.core.http1.wire import Message, Wire, push, turns, until

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\nx-a: 1\r\n\r\n"


def upgrade_request(protocol: str = "websocket") -> Request:
    return make_request(headers=[("host", "a"), ("upgrade", protocol)])


async def test_a_switch_that_was_asked_for_is_a_tunnel_both_ways(bytewise: bool) -> None:
    async def script(wire: Wire) -> None:
        head = await wire.message()
        assert (head.headers["connection"], head.headers.getlist("upgrade")) == ("upgrade", ["websocket"] * 2)
        await Wire(wire.reader, wire.writer, bytewise=bytewise).send(SWITCH, b"hello")
        assert await wire.read(4) == b"back"
        await wire.send(b"again")

    async with line_to(script) as line:
        response = await line.ask(upgrade_request())
        tunnel = response.tunnel
        assert tunnel is not None
        assert response.headers.multi_items() == [("x-a", "1")]
        got = b""
        while len(got) < 5:
            got += await tunnel.read()
        assert got == b"hello"
        await tunnel.write(b"back")
        assert await tunnel.read() == b"again"
        assert await tunnel.read() == b""
        await response.aclose()


async def test_a_tunnel_that_breaks_off_says_so() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        await wire.read(1)
        wire.reset()

    async with line_to(script) as line:
        response = await line.ask(upgrade_request())
        assert response.tunnel is not None
        await response.tunnel.write(b"x")
        with pytest.raises(ResetError):
            await response.tunnel.read()
        with pytest.raises(ResetError):
            await response.tunnel.write(b"y")
        await response.aclose()


async def test_a_tunnel_has_no_deadline_also_after_its_reader_was_behind() -> None:
    async with line_to(answering(SWITCH), PoolLimits(first_byte_timeout_s=1.0, body_idle_timeout_s=1.0)) as line:
        response = await line.ask(upgrade_request())
        connection = line.connections[0]
        connection.pause()
        connection.resume()
        line.pool.sweep(asyncio.get_running_loop().time() + 100_000.0)
        assert not connection.closing
        await response.aclose()


async def test_the_system_looks_after_the_peers_of_a_tunnel_and_of_nothing_else() -> None:
    def watched() -> list[int]:
        upstream = (*rig.endpoint.pool._active, *rig.endpoint.pool._idle)
        transports = [rig.server.connection._transport, *(each._transport for each in upstream)]
        sockets = [transport.get_extra_info("socket") for transport in transports]
        return [sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for sock in sockets]

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(OK)
        await wire.message()
        await wire.send(SWITCH)
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        assert (await wire.message()).status == 200
        assert watched() == [0, 0]
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        await wire.head()
        assert watched() == [1, 1]


@pytest.mark.parametrize("protocols", [("", "websocket"), ("websocket", "h2c"), ("websocket", "")])
async def test_a_switch_that_was_not_asked_for_is_refused(protocols: tuple[str, str]) -> None:
    asked, given = protocols
    switch = b"HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: %b\r\n\r\n" % given.encode()
    async with line_to(answering(switch)) as line:
        with pytest.raises(ProtocolError):
            await line.ask(upgrade_request(asked) if asked else make_request())


async def test_an_upgrade_that_is_refused_is_an_ordinary_answer() -> None:
    async with line_to(answering(OK, OK)) as line:
        for _ in range(2):
            response = await line.ask(upgrade_request())
            assert (response.tunnel, await content(response)) == (None, b"ok")
        assert line.pool.connects == 1


# Through the whole gateway

ASK = b"GET /chat HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\nsec-websocket-key: k\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
REFUSAL = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"


async def test_bytes_sent_together_with_the_heads_reach_the_other_side(bytewise: bool) -> None:
    async def script(wire: Wire) -> None:
        head = await wire.message()
        assert head.headers["sec-websocket-key"] == "k"
        await Wire(wire.reader, wire.writer, bytewise=bytewise).send(SWITCH, b"from upstream")
        assert await wire.read(11) == b"from client"
        await wire.send(b" end")

    async with gateway_to(script, bytewise=bytewise) as rig:
        wire = await rig.client()
        await wire.send(ASK, b"from client")
        head = await wire.head()
        assert (head.status, head.headers["connection"], head.headers["upgrade"]) == (101, "upgrade", "websocket")
        assert head.headers["x-a"] == "1"
        assert await wire.rest() == b"from upstream end"
        await rig.settled()
        assert rig.ended == [None]


async def test_what_a_tunnel_carries_is_never_read_as_http() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        assert await wire.read(len(GET) * 2) == GET * 2
        await wire.send(REFUSAL)

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(ASK, GET)
        await wire.head()
        await wire.send(GET)
        assert await wire.rest() == REFUSAL
        assert rig.endpoint.requests == 1


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_a_client_that_leaves_its_tunnel_closes_the_other_end_too(way: str) -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        await wire.rest()
        left.set()

    left = asyncio.Event()
    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(ASK)
        await wire.head()
        await until(lambda: rig.endpoint.in_flight == 1)
        getattr(wire, way)()
        await asyncio.wait_for(left.wait(), 5)
        await rig.settled()


async def test_an_upstream_that_breaks_off_a_tunnel_breaks_it_off_for_the_client() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        await wire.read(1)
        wire.reset()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(ASK)
        await wire.head()
        await wire.send(b"x")
        await wire.ended()
        await rig.settled()


async def test_a_tunnel_has_back_pressure_both_ways() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        outwards = await push(wire, size)
        assert outwards < 12 * 2**20
        stalled.set()
        await go.wait()
        await wire.rest()

    stalled, go, size = asyncio.Event(), asyncio.Event(), 48 * 2**20
    async with gateway_to(script, small_buffers=True) as rig:
        wire = await rig.client()
        await wire.send(ASK)
        await wire.head()
        await stalled.wait()
        assert await push(wire, size) < 12 * 2**20
        wire.reset()
        go.set()


async def test_a_refused_upgrade_is_an_answer_and_the_connection_goes_on(bytewise: bool) -> None:
    async def script(wire: Wire) -> None:
        while True:
            request = await wire.message()
            await wire.send(REFUSAL if "upgrade" in request.headers else b"HTTP/1.1 204 No Content\r\n\r\n")

    async with gateway_to(script, bytewise=bytewise) as rig:
        wire = await rig.client()
        sending = asyncio.gather(wire.send(ASK, GET, ASK, GET, GET))
        statuses = [(await wire.message()).status for _ in range(5)]
        await sending
        assert statuses == [403, 204, 403, 204, 204]
        await wire.send(GET)
        assert (await wire.message()).status == 204
        assert rig.pool["connects"] == 1


async def test_a_request_after_a_refused_upgrade_may_take_its_time() -> None:
    go = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(REFUSAL)
        await wire.message()
        await go.wait()
        await wire.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        await wire.send(ASK, GET)
        assert (await wire.message()).status == 403
        await until(lambda: rig.endpoint.requests == 2)
        await turns()
        rig.server.connection.sweep(asyncio.get_running_loop().time() + 10_000.0)
        go.set()
        assert (await wire.message()).status == 204


async def test_an_upgrade_waits_for_the_requests_before_it_and_its_bytes_stay_its_own(bytewise: bool) -> None:
    async def script(wire: Wire) -> None:
        assert (await wire.message()).target == "/"
        await turns(30)
        await wire.send(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert (await wire.message()).target == "/chat"
        await wire.send(SWITCH)
        assert await wire.read(len(GET)) == GET
        await wire.send(b"done")

    async with gateway_to(script, bytewise=bytewise) as rig:
        wire = await rig.client()
        sending = asyncio.gather(wire.send(GET, ASK, GET))
        assert (await wire.message()).status == 204
        assert (await wire.head()).status == 101
        await sending
        assert await wire.rest() == b"done"
        assert rig.endpoint.requests == 2


@pytest.mark.parametrize(
    "fields",
    [
        b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        b"connection: upgrade\r\nupgrade: websocket, h2c\r\n",
        b"upgrade: websocket\r\n",
    ],
)
async def test_an_upgrade_that_must_not_be_passed_on_is_dropped(fields: bytes, bytewise: bool) -> None:
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        while True:
            seen.append(await wire.message())
            await wire.send(REFUSAL)

    async with gateway_to(script, bytewise=bytewise) as rig:
        wire = await rig.client()
        sending = asyncio.gather(wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n", fields, b"\r\n", GET))
        assert [(await wire.message()).status for _ in range(2)] == [403, 403]
        await sending
        await rig.settled()
    assert [name for name in seen[0].headers if name in ("upgrade", "connection", "http2-settings")] == []


async def test_http_1_0_knows_no_upgrade() -> None:
    seen: list[Message] = []

    async def script(wire: Wire) -> None:
        seen.append(await wire.message())
        await wire.send(REFUSAL)

    async with gateway_to(script) as rig:
        answer = await rig.ask(ASK.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert answer.status == 403
        await rig.settled()
    assert "upgrade" not in seen[0].headers


async def test_an_upstream_that_switches_unasked_is_a_502_and_nothing_is_tunnelled() -> None:
    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        await wire.rest()

    async with gateway_to(script) as rig:
        wire = await rig.client()
        for _ in range(2):
            await wire.send(GET)
            assert (await wire.message()).status == 502
        await rig.settled()


async def test_a_filter_cannot_switch_a_client_that_did_not_ask(caplog: pytest.LogCaptureFixture) -> None:
    async def switching(request: Request, call_next: CallNext) -> Response:
        request.upgrade = "websocket"
        return await call_next(request)

    async def script(wire: Wire) -> None:
        await wire.message()
        await wire.send(SWITCH)
        await wire.rest()

    async with gateway_to(script, switching) as rig:
        wire = await rig.client()
        await wire.send(GET)
        assert (await wire.message()).status == 500
        await rig.settled()
    caplog.clear()
