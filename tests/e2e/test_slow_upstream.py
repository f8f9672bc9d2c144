"""A service that turns slow, behind an adaptive limit: it gets few requests, and other routes notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

import httpx
from aiohttp import web

from meshwright_sdk.tasks import Tasks
from tests.e2e.gateway_process import GatewayFile, GatewayProcess, running_gateway, running_upstream

YAML = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
routes:
  - {name: turning, match: {path: "/turning"}, to: turning}
  - {name: other, match: {path: "/other"}, to: other}
services:
  turning:
    endpoints: ["TURNING"]
    filters:
      - concurrency: {adaptive: {}, max_waiting: 0}
  other: {endpoints: ["OTHER"]}
"""
RATE = 80
LEAST_LIMIT = 3
"""What the limit never falls below, so that a service that is fast is never refused so many at once."""


class Turning:
    """A service that takes 10 ms, until it takes 2 s."""

    def __init__(self) -> None:
        self.takes_s = 0.01
        self.held = 0
        self.most_held = 0

    async def answer(self, request: web.Request) -> web.Response:
        self.held += 1
        self.most_held = max(self.most_held, self.held)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.held -= 1
        return web.Response(text="ok")


@asynccontextmanager
async def behind_a_gateway(folder: Path) -> AsyncIterator[tuple[Turning, GatewayProcess, httpx.AsyncClient]]:
    turning = Turning()
    application = web.Application()
    application.router.add_get("/turning", turning.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with running_upstream() as other:
            text = YAML.replace("TURNING", f"http://127.0.0.1:{runner.addresses[0][1]}").replace("OTHER", other.url)
            async with running_gateway(GatewayFile(folder / "gateway.yaml", text)) as gateway:
                limits = httpx.Limits(max_connections=1000)
                async with httpx.AsyncClient(base_url=gateway.url, limits=limits, timeout=10) as client:
                    yield turning, gateway, client
    finally:
        await runner.cleanup()


async def load(
    client: httpx.AsyncClient, seconds: float, *, at_once: int = LEAST_LIMIT, least: int = 1
) -> list[httpx.Response]:
    """Send up to `RATE` requests a second to each route; return the answers of the service that turns slow.

    It takes so many seconds, or longer where the machine needs that for the `least` number of requests. The service
    gets `at_once` at most at a time, so that what piles up in a pause of the machine is not taken for slowness.
    """
    answers, tasks, places = list[httpx.Response](), Tasks(), asyncio.Semaphore(at_once)

    async def ask_turning() -> None:
        try:
            answers.append(await client.get("/turning"))
        finally:
            places.release()

    async def ask_other() -> None:
        assert (await client.get("/other")).status_code == 200

    others = list[asyncio.Task[None]]()
    end = monotonic() + seconds
    while monotonic() < end or len(others) < least:
        await places.acquire()
        tasks.spawn(ask_turning(), name="turning")
        others.append(tasks.spawn(ask_other(), name="other"))
        await asyncio.sleep(1 / RATE)
    await tasks.close(grace_s=10)
    assert [other.exception() for other in others if other.exception()] == []
    return answers


async def test_a_service_that_turns_slow_holds_few_requests_and_recovers(tmp_path: Path) -> None:
    async with behind_a_gateway(tmp_path) as (turning, gateway, client):
        assert {answer.status_code for answer in await load(client, 2)} == {200}

        turning.takes_s, turning.most_held = 2.0, 0
        slow = await load(client, 3, at_once=1000, least=3 * RATE)

        assert turning.most_held < 50  # without a limit there would be 160
        refused = [answer for answer in slow if answer.status_code == 503]
        assert len(refused) > len(slow) / 2
        assert {answer.json()["code"] for answer in refused} == {"concurrency_limited"}
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}
        assert 'meshwright_concurrency_limit{route="",service="turning"}' in (await gateway.get("/metrics")).text

        turning.takes_s = 0.01
        await load(client, 3)
        assert {answer.status_code for answer in await load(client, 1)} == {200}
