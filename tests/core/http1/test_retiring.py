from __future__ import annotations

import asyncio

import pytest

from meshwright_sdk import Request, Response
from tests.core.http1.harness import serving
from tests.core.http1.test_server import GET, echo, get
from tests.core.http1.wire import turns, until


async def test_an_idle_connection_that_retires_answers_once_more_and_says_that_it_closes(bytewise: bool) -> None:
    async with serving(echo, bytewise=bytewise) as server:
        wire = await server.client()
        await wire.send(GET)
        first = await wire.message()
        server.connection.retire()
        await turns()
        await wire.send(get("/last"))
        last = await wire.message()

        assert (first.headers.get("connection"), last.headers.get("connection")) == (None, "close")
        assert await wire.rest() == b""


async def test_a_connection_that_retires_during_a_request_says_so_in_its_answer() -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def slow(request: Request) -> Response:
        begun.set()
        await release.wait()
        return Response.text("late")

    async with serving(slow) as server:
        wire = await server.client()
        await wire.send(GET)
        await begun.wait()
        server.connection.retire()
        release.set()
        answer = await wire.message()

        assert (answer.body, answer.headers.get("connection")) == (b"late", "close")
        assert await wire.rest() == b""


async def test_all_that_were_pipelined_are_answered_before_a_connection_retires() -> None:
    release = asyncio.Event()

    async def slow(request: Request) -> Response:
        await release.wait()
        return Response.text(request.target)

    async with serving(slow) as server:
        wire = await server.client()
        await wire.send(get("/1"), get("/2"), get("/3"))
        await until(lambda: bool(server.connections) and server.connection._waiting == get("/2") + get("/3"))
        server.connection.retire()
        release.set()
        answers = [await wire.message() for _ in range(3)]

        assert [each.body for each in answers] == [b"/1", b"/2", b"/3"]
        assert [each.headers.get("connection") for each in answers] == [None, None, "close"]
        assert await wire.rest() == b""


@pytest.mark.parametrize("claimed", [("192.0.2.7", 4242), ("2001:db8::7", 4242)])
async def test_the_addresses_that_a_proxy_claims_are_the_clients_and_our_own(claimed: tuple[str, int]) -> None:
    seen: list[Request] = []

    async def keep(request: Request) -> Response:
        seen.append(request)
        return Response.text("ok")

    async with serving(keep, claimed=(claimed, ("198.51.100.1", 443))) as server:
        await server.ask(b"GET / HTTP/1.0\r\n\r\n")

    assert seen[0].client is not None
    assert (seen[0].client.host, seen[0].client.port) == claimed
    assert seen[0].headers["host"] == "198.51.100.1:443"
