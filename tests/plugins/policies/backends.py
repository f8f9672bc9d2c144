"""`Backend`: an endpoint on a real socket whose mood a test changes, and which counts what it gets."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from aiohttp import web

from meshwright_sdk.testing import gateway
from tests.plugins.policies.configs import config_of
from tests.ports import free_port


class Backend:
    """Answers with `status` while it lives; when it lives again, it is at the same port.

    As a ghost it takes connections and ends each without an answer; `requests` counts these.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.status = 200
        self._port = free_port()
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


class Clients:
    """Send requests through a gateway."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def ask(self, count: int, *, at_once: int = 1) -> Counter[int]:
        """Send so many requests, some of them at once, and count the statuses of the answers."""
        statuses: Counter[int] = Counter()

        async def some(number: int) -> None:
            for _ in range(number):
                statuses[(await self._client.get("/")).status_code] += 1

        await asyncio.gather(*(some(count // at_once) for _ in range(at_once)))
        return statuses


@asynccontextmanager
async def three_backends(policy: str, *, filters: str = "") -> AsyncIterator[tuple[list[Backend], Clients]]:
    """Run three backends, and a gateway whose service has them and this policy, and whose route has these filters."""
    async with AsyncExitStack() as stack:
        backends = [Backend() for _ in range(3)]
        for backend in backends:
            await backend.live()
            stack.push_async_callback(backend.die)
        running = await stack.enter_async_context(gateway(config_of(backends, policy, filters=filters)))
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=running.url))
        yield backends, Clients(client)
