"""A gateway as its users start it, `meshwright run` in processes of its own, and an upstream behind it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web

READY = re.compile(r"meshwright \S+: listening on (?P<listeners>.+), admin (?P<admin>\S+), .*version (?P<version>\d+)")
START_S = 30.0
ANSWER_S = 20.0


class GatewayFile:
    """The YAML of a gateway, edited as its users do while it runs."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.write(text)

    @property
    def text(self) -> str:
        return self.path.read_text()

    def write(self, text: str) -> None:
        """Put a whole file in its place, so that none is read that is half written."""
        self._put(self.path, text)

    def replace(self, old: str, new: str) -> None:
        """Replace the first occurrence."""
        assert old in self.text
        self.write(self.text.replace(old, new, 1))

    def prepend(self, text: str) -> None:
        self.write(text + self.text)

    def beside(self, name: str, text: str) -> None:
        """Write another file into the same folder."""
        self._put(self.path.with_name(name), text)

    def _put(self, file: Path, text: str) -> None:
        new = file.with_name(f"{file.name}.new")
        new.write_text(text)
        new.replace(file)


class GatewayProcess:
    """A running `meshwright run`; `pid` is the supervisor's."""

    def __init__(self, process: Process, ready: str, log: Path) -> None:
        matched = READY.match(ready)
        assert matched, f"{ready!r}\n{log.read_text()}"
        self.urls: dict[str, str] = {name: url for url, name in re.findall(r"(\S+) \((\w+)\)", matched["listeners"])}
        self.admin = matched["admin"]
        self.process = process
        self._log = log

    @property
    def url(self) -> str:
        return next(iter(self.urls.values()))

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self._log.read_text()

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """Ask the admin API."""
        async with httpx.AsyncClient(base_url=self.admin, timeout=ANSWER_S) as client:
            return await client.get(path, **more)

    async def post(self, path: str, **more: Any) -> httpx.Response:
        """Have the admin API do something."""
        async with httpx.AsyncClient(base_url=self.admin, timeout=ANSWER_S) as client:
            return await client.post(path, **more)

    async def workers(self) -> dict[str, int]:
        """Return the process of each worker."""
        return {each["worker"]: each["pid"] for each in (await self.get("/api/config")).json()["workers"]}

    async def versions(self) -> list[int]:
        """Return the version that each worker acknowledges."""
        return [each.get("version", 0) for each in (await self.get("/api/config")).json()["workers"]]

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return await self.ended()

    async def ended(self) -> int:
        """Return the exit code when it has ended."""
        return await asyncio.wait_for(self.process.wait(), 20)


@asynccontextmanager
async def running_gateway(file: GatewayFile, *arguments: str) -> AsyncIterator[GatewayProcess]:
    """Run the gateway; what is left of it at the end is killed."""
    log = file.path.with_suffix(".log")
    with log.open("w") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "meshwright", "run", str(file.path), *arguments, stdout=PIPE, stderr=stderr
        )
    try:
        assert process.stdout is not None
        ready = await asyncio.wait_for(process.stdout.readline(), START_S)
        yield GatewayProcess(process, ready.decode(), log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def refused_gateway(file: Path, *arguments: str) -> tuple[int, list[str]]:
    """Run a gateway that cannot start; return its exit code and what it wrote to stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meshwright", "run", str(file), *arguments, stdout=PIPE, stderr=PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), START_S)
    finally:
        if process.returncode is None:
            process.kill()
    assert out == b""
    assert process.returncode is not None
    return process.returncode, err.decode().splitlines()


class Upstream:
    """A service that answers at once, except below `/slow`, where it waits for `release`.

    It keeps each of the `connections` that it was asked by.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests = 0
        self.connections: set[asyncio.BaseTransport | None] = set()
        self.release = asyncio.Event()
        self.arrived = asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        self.connections.add(request.transport)
        if request.path.startswith("/slow"):
            self.arrived.set()
            await self.release.wait()
        return web.Response(text=f"answer to {request.path}")


@asynccontextmanager
async def running_upstream() -> AsyncIterator[Upstream]:
    upstream = Upstream()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", upstream.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield upstream
    finally:
        upstream.release.set()
        await runner.cleanup()


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 15.0) -> None:
    """Return as soon as `holds` does; a connection that is refused meanwhile is no failure."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                if await holds():
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)


def is_running(pid: int) -> bool:
    """Return whether the process is there and is no zombie that waits to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Return whether the process has not yet taken a signal that was sent to it (proc_pid_status(5))."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("ShdPnd:"))
    return bool(int(line.split()[1], 16) >> (number - 1) & 1)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    os.kill(pid, number)
