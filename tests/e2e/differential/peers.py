"""`Peer`: a proxy as a reader of what the gateway sends on; which differences are harmless is in `differences`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.core.http1.corpus.case import CANARY, Seen
from tests.core.http1.corpus.recorder import Recorder
from tests.core.http1.wire import Wire, connect, scripted_upstream
from tests.e2e.differential.proxies import INSTALLED, running

ANSWER_S = 20.0


@dataclass(slots=True)
class Peer:
    """One proxy, and what the upstream behind it was asked."""

    name: str
    port: int
    recorder: Recorder

    async def read(self, sent: bytes, methods: Sequence[str]) -> list[Seen]:
        """Send bytes straight to the proxy and a request of our own behind them; return what it made of both."""
        self.recorder.requests.clear()
        wire = await connect(self.port)
        try:
            await wire.send(sent, CANARY)
            await self._take_answers(wire, methods)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # it refused something, and what it refused is missing in what it asked
        finally:
            wire.reset()
        return list(self.recorder.requests)

    async def _take_answers(self, wire: Wire, methods: Sequence[str]) -> None:
        async with asyncio.timeout(ANSWER_S):
            for method in (*methods, "GET"):
                answer = await wire.message(bodiless=method == "HEAD")
                while answer.status < 200:
                    answer = await wire.message(bodiless=method == "HEAD")
                if answer.headers.get("connection", "").lower() == "close":
                    return

    async def relay(self, wire: Wire) -> None:
        """Be the gateway's upstream, a script, by passing the bytes on to the proxy and back."""
        far = await connect(self.port)
        back = asyncio.get_running_loop().create_task(_pass_on(far, wire))
        try:
            await _pass_on(wire, far)
        finally:
            far.reset()
            await asyncio.wait({back})


async def _pass_on(source: Wire, target: Wire) -> None:
    try:
        while data := await source.reader.read(65536):
            await target.send(data)
    except ConnectionError:
        pass
    target.close()


@asynccontextmanager
async def peers(folder: Path) -> AsyncIterator[list[Peer]]:
    """Run every proxy that is installed, each in front of a recorder."""
    async with AsyncExitStack() as stack:
        found = []
        for name in INSTALLED:
            recorder = Recorder()
            upstream = await stack.enter_async_context(scripted_upstream(recorder))
            port = stack.enter_context(running(name, upstream.port, folder))
            found.append(Peer(name, port, recorder))
        yield found
