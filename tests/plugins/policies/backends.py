"""`Backend`: an endpoint on a real socket whose mood a test changes, and which counts what it gets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from aiohttp import web


class Backend:
    """Answers with `status` while it lives; when it lives again, it is at the same port.

    As a ghost it takes connections and ends each without an answer; `requests` counts these.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.status = 200
        self._port = 0
        self._runner: web.AppRunner | None = None
        self._ghost: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def live(self) -> None:
        application = web.Application()
        application.router.add_get("/", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]

    async def die(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
        self._runner = None
        if self._ghost is not None:
            self._ghost.close()
            await self._ghost.wait_closed()
        self._ghost = None

    async def haunt(self) -> None:
        """Die, and be a ghost."""
        await self.die()
        self._ghost = await asyncio.start_server(self._end, "127.0.0.1", self._port)

    async def _end(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        writer.close()

    async def _answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        return web.Response(status=self.status)


@asynccontextmanager
async def running_backends(count: int) -> AsyncIterator[list[Backend]]:
    async with AsyncExitStack() as stack:
        backends = [Backend() for _ in range(count)]
        for backend in backends:
            await backend.live()
            stack.push_async_callback(backend.die)
        yield backends


def gateway_to(backends: Iterable[Backend], policy: str, *, route_filters: str = "") -> str:
    """Return the YAML of a gateway with a service of these endpoints and one policy."""
    urls = ", ".join(f'"{backend.url}"' for backend in backends)
    return f"""
listeners: [{{name: web, bind: "127.0.0.1:0"}}]
routes: [{{name: all, filters: [{route_filters}], to: back}}]
services:
  back:
    endpoints: [{urls}]
    policies: [{policy}]
"""


async def statuses_of(client: httpx.AsyncClient, requests: int, *, at_once: int) -> Counter[int]:
    """Send so many requests, some of them at once, and count the statuses of the answers."""
    statuses: Counter[int] = Counter()

    async def some(number: int) -> None:
        for _ in range(number):
            statuses[(await client.get("/")).status_code] += 1

    await asyncio.gather(*(some(requests // at_once) for _ in range(at_once)))
    return statuses
