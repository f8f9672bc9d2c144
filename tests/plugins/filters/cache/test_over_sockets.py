from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from meshwright_sdk.testing import RunningGateway, gateway
from tests.redis_servers import RedisServer, needs_redis, until

YAML = """
listeners: [{name: web, bind: "127.0.0.1:0"}]
STORE
routes:
  - name: all
    filters: [{cache: OPTIONS}]
    to: back
services:
  back: {endpoints: ["UPSTREAM"]}
"""

needs_hiredis = pytest.mark.skipif(find_spec("hiredis") is None, reason="needs the package hiredis")
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Origin:
    """A real server: what it answers is a test's, and what it is asked is counted by method and path."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.url = ""
        self._runner: web.ServerRunner | None = None

    async def start(self, answer: Answer) -> None:
        async def counted(request: web.BaseRequest) -> web.StreamResponse:
            self.asked[f"{request.method} {request.path}"] += 1
            return await answer(request)  # type: ignore[arg-type]  # nothing of the subclass is used

        self._runner = web.ServerRunner(web.Server(counted, handler_cancellation=True), shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


@pytest.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    yield origin
    await origin.stop()


@asynccontextmanager
async def cached(
    origin: Origin, options: str = "{}", store: str = ""
) -> AsyncIterator[tuple[RunningGateway, httpx.AsyncClient]]:
    text = YAML.replace("UPSTREAM", origin.url).replace("OPTIONS", options).replace("STORE", store)
    async with (
        gateway(text) as running,
        httpx.AsyncClient(base_url=running.url, headers={"host": "shop.test"}, timeout=20) as client,
    ):
        yield running, client


async def page(request: web.Request) -> web.StreamResponse:
    """A page that is slow, streamed, and knows its version; `/short` is fresh for a second, and others for an hour."""
    await asyncio.sleep(0.05)
    fresh = "max-age=1" if request.path == "/short" else "max-age=3600"
    if request.headers.get("if-none-match") == '"v1"':
        return web.Response(status=304, headers={"etag": '"v1"', "cache-control": fresh})
    response = web.StreamResponse(headers={"etag": '"v1"', "cache-control": f"{fresh}, stale-if-error=60"})
    await response.prepare(request)
    for _ in range(10):
        await response.write(b"x" * 1000)
    await response.write_eof()
    return response


async def test_a_hundred_clients_are_one_request_at_the_service(origin: Origin) -> None:
    await origin.start(page)
    async with cached(origin) as (_, client):
        answers = await asyncio.gather(*(client.get("/a") for _ in range(100)))

    assert {(each.status_code, each.content) for each in answers} == {(200, b"x" * 10_000)}
    assert origin.asked == {"GET /a": 1}


async def test_a_stale_page_is_validated_and_a_client_that_has_it_is_told_so(origin: Origin) -> None:
    await origin.start(page)
    async with cached(origin) as (_, client):
        first = await client.get("/short")
        await client.get("/a")
        has_it = await client.get("/a", headers={"if-none-match": '"v1"'})
        head = await client.head("/a")
        await asyncio.sleep(1.1)
        again = await client.get("/short")

    assert (first.status_code, has_it.status_code, has_it.content) == (200, 304, b"")
    assert (head.headers["content-length"], head.content) == ("10000", b"")
    assert (again.content, again.headers["cache-status"]) == (
        first.content,
        "meshwright; fwd=stale; fwd-status=304",
    )
    assert origin.asked == {"GET /a": 1, "GET /short": 2}


async def test_a_service_that_is_gone_is_stood_in_for(origin: Origin) -> None:
    await origin.start(page)
    async with cached(origin) as (_, client):
        await client.get("/short")
        await origin.stop()
        await asyncio.sleep(1.1)
        stale, other = await client.get("/short"), await client.get("/b")

    assert (stale.status_code, stale.content) == (200, b"x" * 10_000)
    assert "stale-if-error" in stale.headers["cache-status"]
    assert other.status_code == 502


async def test_a_client_that_leaves_in_the_middle_leaves_the_fetch_to_the_next_one(origin: Origin) -> None:
    reached, left = asyncio.Event(), asyncio.Event()

    async def halting(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"cache-control": "max-age=60", "content-length": "4"})
        await response.prepare(request)
        await response.write(b"ab")
        if not left.is_set():
            reached.set()
            await asyncio.Event().wait()
        await response.write(b"cd")
        return response

    await origin.start(halting)
    async with cached(origin) as (_, client):
        async with client.stream("GET", "/a") as begun:
            assert begun.status_code == 200
            await reached.wait()
            waiting = [asyncio.gather(client.get("/a")) for _ in range(5)]
            await asyncio.sleep(0.1)
            assert origin.asked == {"GET /a": 1}
            left.set()
        answers = [each for (each,) in await asyncio.gather(*waiting)]

    assert {each.content for each in answers} == {b"abcd"}
    assert origin.asked == {"GET /a": 2}


async def test_an_endless_stream_reaches_every_client_at_once(origin: Origin) -> None:
    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "cache-control": "max-age=60"})
        await response.prepare(request)
        await response.write(b"data: 1\n\n")
        await asyncio.Event().wait()
        return response

    await origin.start(events)

    async def first_event(client: httpx.AsyncClient) -> bytes:
        async with client.stream("GET", "/events") as response:
            return await anext(response.aiter_raw())

    async with cached(origin) as (_, client), asyncio.timeout(20):
        assert await asyncio.gather(*(first_event(client) for _ in range(5))) == [b"data: 1\n\n"] * 5


@pytest.fixture
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    await server.start()
    yield server
    await server.stop()


@needs_redis
@needs_hiredis
async def test_gateways_with_one_store_share_what_one_has_fetched(origin: Origin, redis: RedisServer) -> None:
    async def varying(request: web.Request) -> web.StreamResponse:
        language = request.headers.get("accept-language", "")
        return web.Response(text=language, headers={"cache-control": "max-age=60", "vary": "accept-language"})

    await origin.start(varying)
    store = f'store: {{redis: {{url: "{redis.url}", timeout: 10s}}}}'
    async with (
        cached(origin, "{shared: true}", store) as (_, one),
        cached(origin, "{shared: true}", store) as (_, other),
    ):
        for client in (one, other):
            for language in ("de", "en", "fr"):
                assert (await client.get("/a", headers={"accept-language": language})).text == language
        assert origin.asked == {"GET /a": 3}
        await one.delete("/a")
        await other.get("/a", headers={"accept-language": "de"})
        await other.get("/a", headers={"accept-language": "fr"})

    assert origin.asked == {"GET /a": 5, "DELETE /a": 1}


@needs_redis
@needs_hiredis
async def test_without_its_store_the_cache_is_empty_and_nothing_fails(origin: Origin, redis: RedisServer) -> None:
    await origin.start(page)
    store = f'store: {{redis: {{url: "{redis.url}", timeout: 10s}}}}'
    async with cached(origin, "{shared: true}", store) as (_, client):
        await client.get("/a")
        await redis.stop()
        answers = await asyncio.gather(*(client.get("/a") for _ in range(10)))
        await redis.start()

        async def hits() -> bool:
            return "hit" in (await client.get("/b")).headers["cache-status"]

        await until(hits)

    assert {each.status_code for each in answers} == {200}
    assert origin.asked["GET /a"] >= 2
