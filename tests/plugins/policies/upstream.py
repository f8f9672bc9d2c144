"""A real server whose health a test switches, for the tests of policies."""

from __future__ import annotations

import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.ports import free_port


class Upstream:
    """A real server that answers with its URL, and at `/healthz` how it is, which a test switches.

    A `report` takes the place of that. It counts what it was `asked` by path, sends `headers` with every answer, and
    may die and come back.
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, socket: Path | None = None) -> None:
        self.healthy = True
        self.report = ""
        self.headers: dict[str, str] = {}
        self.asked: Counter[str] = Counter()
        self.url = f"unix:{socket}"
        self._tls, self._socket, self._port = tls, socket, free_port()
        self._runner: web.AppRunner | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.asked[request.path] += 1
        if request.path == "/healthz":
            text = self.report or ("ready" if self.healthy else "starting")
            return web.Response(text=text, headers=self.headers)
        return web.Response(text=self.url, headers=self.headers)

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.answer)
        self._runner = runner = web.AppRunner(app)
        await runner.setup()
        if self._socket is not None:
            await web.UnixSite(runner, str(self._socket)).start()
            return
        await web.TCPSite(runner, "127.0.0.1", self._port, ssl_context=self._tls, reuse_address=True).start()
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self._port}"

    async def die(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()


@asynccontextmanager
async def running_upstream(*, tls: ssl.SSLContext | None = None, socket: Path | None = None) -> AsyncIterator[Upstream]:
    upstream = Upstream(tls=tls, socket=socket)
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.die()


async def who_answers(client: aiohttp.ClientSession, url: str, count: int) -> Counter[str]:
    """Ask so many times, one after the other, and count the upstreams that answer, by their URLs."""
    answers: Counter[str] = Counter()
    for _ in range(count):
        async with client.get(url) as answer:
            answers[await answer.text()] += 1
    return answers
