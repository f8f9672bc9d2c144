"""What gateways share through one Redis, and what becomes of requests while it is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.gateway_process import GatewayFile, GatewayProcess, eventually, running_gateway
from tests.redis_servers import RedisServer, needs_redis

pytest.importorskip("hiredis")
pytestmark = needs_redis

YAML = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
plugins: [./counted.py]
store: {redis: {url: "URL", timeout: 5s, max_backoff: 200ms}}
routes: [{name: all, filters: [counted, {respond: {text: hello}}]}]
"""
FILTER = '''
from meshwright_sdk import Context, Filter, NoOptions, Response


class Counted(Filter[NoOptions]):
    """Let ten requests through in each minute."""

    async def __call__(self, request, call_next):
        taken = await self.context.store.take_window("all", 10, 60)
        if not taken:
            return Response.text("too many", status=429)
        return await call_next(request)
'''


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    await server.stop()


@pytest.fixture
def file(tmp_path: Path, server: RedisServer) -> GatewayFile:
    file = GatewayFile(tmp_path / "gateway.yaml", YAML.replace("URL", server.url))
    file.beside("counted.py", FILTER)
    return file


async def statuses(count: int, *gateways: GatewayProcess) -> Counter[int]:
    """Ask so many times at once, each over a connection of its own, so that every worker has its turn."""
    each_its_own = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=each_its_own, timeout=10) as client:
        urls = [gateways[number % len(gateways)].url for number in range(count)]
        answers = await asyncio.gather(*map(client.get, urls))
    return Counter(answer.status_code for answer in answers)


async def servers(gateway: GatewayProcess) -> list[dict[str, str]]:
    """Return the state of the store's servers in each worker."""
    (store,) = (use for use in (await gateway.get("/api/state")).json()["uses"] if use["use"] == "store")
    return [worker["state"]["servers"] for worker in store["workers"]]


async def test_workers_and_gateways_share_a_limit(server: RedisServer, file: GatewayFile) -> None:
    await server.start()
    async with running_gateway(file, "--workers", "2") as one, running_gateway(file) as other:
        answers = await statuses(30, one, other)
        page, states = (await one.get("/metrics")).text, await servers(one)

    assert answers == {200: 10, 429: 20}
    assert states == [{server.address: "connected"}] * 2
    assert "\nmeshwright_store_calls_total 15\n" in page
    assert "\nmeshwright_store_failures_total 0\n" in page


async def test_a_gateway_serves_without_redis_and_uses_it_as_soon_as_it_is_there(
    server: RedisServer, file: GatewayFile
) -> None:
    async with running_gateway(file) as gateway:
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            without, away = await client.get("/"), await servers(gateway)

            async def is_back() -> bool:
                return (await client.get("/")).status_code == 200

            await server.start()
            await eventually(is_back)
            server.kill()
            await server.stop()
            killed = await statuses(20, gateway)
            await server.start()
            await eventually(is_back)
        log = gateway.log

    assert (without.status_code, without.json()["code"]) == (503, "store_unavailable")
    assert "detail" not in without.json()
    assert away == [{server.address: f"away: {server.address}: it refuses connections"}]
    assert killed == {503: 20}
    assert log.count("away, calls fail until it is back") == 2
    assert log.count("connected") == 2
    assert "Traceback" not in log
