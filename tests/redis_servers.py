"""Real Redis servers for tests: single ones, sentinels and nodes of a cluster, each a process on a free port."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from meshwright_sdk import StoreError, Tasks
from meshwright_sdk.store import AnyStore
from tests.ports import free_port

REDIS = shutil.which("redis-server")
SENTINEL = shutil.which("redis-sentinel")
WITHIN_S = 30.0
_BUS = 10_000

needs_redis = pytest.mark.skipif(REDIS is None, reason="needs redis-server (Debian package redis-server)")
needs_sentinel = pytest.mark.skipif(SENTINEL is None, reason="needs redis-sentinel (Debian package redis-sentinel)")


_running: set[RedisServer] = set()


def end_those_left() -> list[str]:
    """End the servers that a test has started and not stopped, and return their addresses."""
    left = [server.address for server in _running]
    for server in _running:
        server.end()
    _running.clear()
    return left


class RedisServer:
    """A redis-server that keeps nothing on disk, on one port for its whole life."""

    def __init__(self, folder: Path, *arguments: str, program: str | None = REDIS) -> None:
        self.port = free_port(also=_BUS)
        self._program = program
        self._arguments = arguments
        self._folder = folder / f"redis-{self.port}"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"redis://{self.address}"

    @property
    def is_running(self) -> bool:
        return self._process is not None

    async def start(self) -> None:
        """Return when it answers."""
        assert self._program is not None
        self._folder.mkdir(exist_ok=True)
        (self._folder / "redis.conf").write_text(self.configuration())
        self._process = await asyncio.create_subprocess_exec(
            self._program, str(self._folder / "redis.conf"), *self._arguments,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        _running.add(self)
        async with asyncio.timeout(WITHIN_S):
            await self._answering()

    def configuration(self) -> str:
        """Return what its configuration file holds."""
        return f'port {self.port}\nbind 127.0.0.1\ndir {self._folder}\nsave ""\nrepl-diskless-sync-delay 0\n'

    def kill(self) -> None:
        """End it as a crash would."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """Let it hang: connections are taken and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """End it when the event loop that it was started in has gone."""
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """End it, and wait for the end."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            self._process = None
            _running.discard(self)

    async def ask(self, *words: str) -> str:
        """Return the first line of its answer to a command."""
        return (await self.lines(*words, count=1))[0]

    async def lines(self, *words: str, count: int = 2) -> list[str]:
        """Return the first lines of its answer to a command."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write((" ".join(words) + "\r\n").encode())
            async with asyncio.timeout(WITHIN_S):
                return [(await reader.readline()).decode().strip() for _ in range(count)]
        finally:
            writer.close()

    async def is_linked(self) -> bool:
        """Whether it is a replica that has its primary's data."""
        return "connected" in await self.lines("ROLE", count=9)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)

    async def _answering(self) -> None:
        while True:
            try:
                if (await self.ask("PING")).startswith(("+PONG", "-NOAUTH", "-LOADING")):
                    return
            except OSError:
                pass
            await asyncio.sleep(0.01)


class SentinelServer(RedisServer):
    """A redis-sentinel that watches a primary under the name `shop`, and replaces it only when it is allowed to.

    What a busy machine delays would pass for a primary that is down.
    """

    def __init__(self, folder: Path, primary: RedisServer, quorum: int = 1) -> None:
        super().__init__(folder, program=SENTINEL)
        self._primary = primary
        self._quorum = quorum

    def configuration(self) -> str:
        return (
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder}\n"
            f"sentinel monitor shop 127.0.0.1 {self._primary.port} {self._quorum}\n"
            "sentinel down-after-milliseconds shop 600000\nsentinel failover-timeout shop 3000\n"
        )

    async def allow_failover(self) -> None:
        """Let it replace a primary that does not answer for half a second."""
        assert await self.ask("SENTINEL", "SET", "shop", "down-after-milliseconds", "500") == "+OK"


async def until(condition: Callable[[], Awaitable[object]], within_s: float = WITHIN_S) -> None:
    """Return when `condition` is true; a StoreError counts as not yet."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                if await condition():
                    return
            except StoreError:
                pass
            await asyncio.sleep(0.01)


def fails_at_once(call: Coroutine[Any, Any, Any]) -> bool:
    """Whether a call of a store raises StoreError without waiting for anything."""
    try:
        call.send(None)
    except StoreError:
        return True
    call.close()
    return False


async def hears(store: AnyStore, subscription: AsyncIterator[bytes], channel: str = "news") -> None:
    """Publish until a message has come; those that were published before do not count."""
    message = uuid4().bytes

    async def hear() -> None:
        while await anext(subscription) != message:
            pass

    heard = Tasks().spawn(hear(), name="heard")

    async def is_heard() -> bool:
        await store.publish(channel, message)
        return heard.done()

    await until(is_heard)
    await heard
