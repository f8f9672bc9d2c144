from __future__ import annotations

import asyncio

import pytest

from meshwright.pool import PoolLimits
from meshwright_sdk import (
    ProtocolError,
    Request,
    ResetError,
)
from meshwright_sdk.testing import make_request
from tests.core.http1.line import OK, answering, content, line_to
from tests.core.http1.wire import Wire

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
