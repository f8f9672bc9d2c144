from __future__ import annotations

import asyncio
import signal

import httpx
import pytest

from meshwright.processes.stop_signals import AT_ONCE, UNHEARD_S
from tests.e2e.gateway_process import GatewayFile, eventually, is_pending, kill, running_gateway

STUBBORN = """\
import asyncio
from pathlib import Path
from meshwright_sdk import filter

@filter
async def stubborn(request, call_next):
    Path(__file__).with_name("arrived").touch()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            pass
"""
NEVER_CLOSES = """\
import asyncio
from meshwright_sdk import Filter, NoOptions

class NeverCloses(Filter[NoOptions]):
    async def __call__(self, request, call_next):
        return await call_next(request)

    async def close(self):
        await asyncio.Event().wait()
"""
BLOCKING = """\
import time
from pathlib import Path
from meshwright_sdk import filter

@filter
async def blocking(request, call_next):
    Path(__file__).with_name("arrived").touch()
    time.sleep(3600)
    return await call_next(request)
"""


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_request_that_heeds_no_cancellation_does_not_keep_the_gateway(file: GatewayFile, workers: str) -> None:
    file.beside("stubborn.py", STUBBORN)
    file.prepend("plugins: [./stubborn.py]\nfilters: [stubborn]\n")

    async def arrived() -> bool:
        return file.path.with_name("arrived").exists()

    async with (
        running_gateway(file, "--workers", workers, "--grace", "500ms") as gateway,
        httpx.AsyncClient() as client,
    ):
        request = asyncio.gather(client.get(gateway.url, timeout=20), return_exceptions=True)
        await eventually(arrived)

        assert await gateway.stop() == 0

        await request
        assert "1 connection cut off" in gateway.log
        assert "this process does not end by itself; exiting with 0. What still runs: " in gateway.log
        assert "timeout graceful shutdown exceeded" not in gateway.log


async def test_a_part_that_never_closes_does_not_keep_the_gateway(file: GatewayFile) -> None:
    file.beside("closing.py", NEVER_CLOSES)
    file.prepend("plugins: [./closing.py]\nfilters: [never_closes]\n")

    async with running_gateway(file) as gateway:
        assert await gateway.stop() == 0

        assert "takes longer than 10 s; going on without it" in gateway.log


async def test_a_filter_that_blocks_the_loop_does_not_keep_the_gateway_from_a_second_signal(file: GatewayFile) -> None:
    file.beside("blocking.py", BLOCKING)
    file.prepend("plugins: [./blocking.py]\nfilters: [blocking]\n")

    async def arrived() -> bool:
        return file.path.with_name("arrived").exists()

    async with running_gateway(file) as gateway, httpx.AsyncClient() as client:
        request = asyncio.gather(client.get(gateway.url, timeout=20), return_exceptions=True)
        await eventually(arrived)
        kill(gateway.pid, signal.SIGTERM)

        async def taken() -> bool:
            return not is_pending(gateway.pid, signal.SIGTERM)

        await eventually(taken)
        await asyncio.sleep(UNHEARD_S + 0.2)

        assert await gateway.stop() == AT_ONCE

        await request
        assert f"the event loop stands still at {file.path.with_name('blocking.py')}:8; exiting with 130" in gateway.log


async def test_a_worker_that_stands_still_is_replaced_and_holds_up_no_reload(file: GatewayFile) -> None:
    async with running_gateway(file, "--workers", "2") as gateway:
        before = await gateway.workers()
        kill(before["0"], signal.SIGSTOP)

        async def replaced() -> bool:
            workers = (await gateway.get("/api/config")).json()["workers"]
            return len(workers) == 2 and before["0"] not in [each["pid"] for each in workers]

        await eventually(replaced, within_s=40)

        assert (await gateway.post("/api/reload")).status_code == 200
        assert "does not answer; it is killed" in gateway.log
        assert await gateway.stop() == 0
