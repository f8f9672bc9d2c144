"""Balancers in a running gateway: real upstreams behind it, and a client that asks through it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from aiohttp import web

from meshwright_sdk.testing import gateway
from meshwright_sdk.testing.gateway import RunningGateway

YAML = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
admin: {bind: "127.0.0.1:0"}
routes: [{name: all, match: {path: "/*"}, to: back}]
services:
  back:
    balancer: BALANCER
    endpoints: [ENDPOINTS]
"""


class Upstreams:
    """Upstreams that answer with their names, each after its delay."""

    def __init__(self, delays_s: Mapping[str, float]) -> None:
        self.delays_s = delays_s
        self.urls: dict[str, str] = {}
        self._runners: dict[str, web.AppRunner] = {}

    async def start(self, name: str) -> None:
        async def answer(request: web.Request) -> web.Response:
            await asyncio.sleep(self.delays_s[name])
            return web.Response(text=name)

        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        runner = self._runners[name] = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.urls[name] = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def stop(self, name: str) -> None:
        await self._runners.pop(name).cleanup()

    async def close(self) -> None:
        for name in list(self._runners):
            await self.stop(name)


class Client:
    """Asks through the gateway, and is told who answered."""

    def __init__(self, http: httpx.AsyncClient, gateway: RunningGateway) -> None:
        self._http = http
        self.gateway = gateway

    async def ask(self, **headers: str) -> str:
        answer = await self._http.get("/", headers=headers)
        return answer.text if answer.is_success else str(answer.status_code)

    async def ask_all(self, requests: Sequence[Mapping[str, str]], at_once: int = 8) -> list[str]:
        """Return the answers to requests with these headers, so many of them under way at a time."""
        names: list[str] = []
        for start in range(0, len(requests), at_once):
            batch = requests[start : start + at_once]
            names += await asyncio.gather(*(self.ask(**headers) for headers in batch))
        return names


def yaml_of(balancer: str, endpoints: str) -> str:
    return YAML.replace("BALANCER", balancer).replace("ENDPOINTS", endpoints)


@asynccontextmanager
async def balanced(
    balancer: str, endpoints: Mapping[str, str], delays_s: Mapping[str, float] | None = None
) -> AsyncIterator[tuple[Client, Upstreams]]:
    """Run upstreams by their names, what else the YAML says of each, and a gateway in front of them."""
    upstreams = Upstreams(delays_s or dict.fromkeys(endpoints, 0.0))
    for name in endpoints:
        await upstreams.start(name)
    listed = ", ".join(f'{{url: "{upstreams.urls[name]}"{more}}}' for name, more in endpoints.items())
    try:
        async with (
            gateway(yaml_of(balancer, listed), base_dir=Path()) as running,
            httpx.AsyncClient(base_url=running.url) as http,
        ):
            yield Client(http, running), upstreams
    finally:
        await upstreams.close()


async def test_peak_ewma_sends_little_to_the_slow_one() -> None:
    delays_s = {"a": 0.002, "b": 0.002, "slow": 0.5}
    async with balanced("peak_ewma", dict.fromkeys(delays_s, ""), delays_s) as (client, _):
        got = Counter(await client.ask_all([{}] * 120))

    assert got["slow"] < 20  # of 40 that would be its share
    assert min(got["a"], got["b"]) > 10


async def test_ring_hash_keeps_a_user_at_one_endpoint_and_moves_only_those_of_one_that_fails() -> None:
    users = [{"x-user": str(number)} for number in range(60)]
    async with balanced("{ring_hash: {key: 'header:x-user'}}", dict.fromkeys("abc", "")) as (client, upstreams):
        before = await client.ask_all(users)
        assert await client.ask_all(users) == before
        assert set(before) == set("abc")

        await upstreams.stop("a")
        after = await client.ask_all(users)

    assert [name for name in after if name in "bc"] == [name for name in before if name != "a"]


async def test_maglev_keeps_a_user_at_one_endpoint_through_a_reload() -> None:
    users = [{"x-user": str(number)} for number in range(60)]
    async with balanced("{maglev: {key: 'header:x-user'}}", dict.fromkeys("abc", "")) as (client, upstreams):
        before = await client.ask_all(users)
        listed = ", ".join(f'{{url: "{upstreams.urls[name]}", weight: 1}}' for name in "cab")
        await client.gateway.apply(yaml_of("{maglev: {key: 'header:x-user', table_size: 16381}}", listed))
        after = await client.ask_all(users)

    assert (after, set(after)) == (before, set("abc"))


async def test_locality_stays_in_its_zone_and_leaves_it_when_it_is_not_there() -> None:
    zones = {"a": ", zone: here", "b": ", zone: there", "c": ", zone: far"}
    async with balanced("{locality: {zone: here, failover: [there]}}", zones) as (client, upstreams):
        assert set(await client.ask_all([{}] * 20)) == {"a"}

        listed = ", ".join(f'{{url: "{upstreams.urls[name]}"{zones[name]}}}' for name in "bc")
        await client.gateway.apply(yaml_of("{locality: {zone: here, failover: [there]}}", listed))
        assert set(await client.ask_all([{}] * 20)) == {"b"}


async def test_subset_takes_the_version_that_is_asked_for() -> None:
    versions = {"old": ", labels: {version: v1}", "new": ", labels: {version: v2}"}
    subset = "{subset: {labels: {version: '{header:x-version}'}, fallback: none}}"
    async with balanced(subset, versions) as (client, _):
        assert set(await client.ask_all([{"x-version": "v2"}] * 10)) == {"new"}
        assert set(await client.ask_all([{"x-version": "v1"}] * 10)) == {"old"}
        assert await client.ask() == "503"
