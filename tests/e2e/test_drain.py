from __future__ import annotations

import asyncio
import signal

import httpx
import pytest

from tests.e2e.gateway_process import GatewayFile, Upstream, eventually, kill, running_gateway

EITHER = pytest.mark.parametrize("workers", ["1", "2"])


async def refuses(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            await client.get(url)
    except httpx.ConnectError:
        return True
    return False


def was_cut_off(answer: httpx.Response | BaseException) -> bool:
    return answer.status_code >= 500 if isinstance(answer, httpx.Response) else isinstance(answer, httpx.TransportError)


@EITHER
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_running_request_ends_before_the_gateway_does(
    file: GatewayFile, upstream: Upstream, workers: str, number: signal.Signals
) -> None:
    async with running_gateway(file, "--workers", workers) as gateway, httpx.AsyncClient() as client:
        slow = asyncio.gather(client.get(f"{gateway.url}/slow", timeout=20))
        await asyncio.wait_for(upstream.arrived.wait(), 10)

        kill(gateway.pid, number)
        await eventually(lambda: refuses(gateway.url))
        ready, live = await gateway.get("/readyz"), await gateway.get("/livez")
        upstream.release.set()

        assert (await slow)[0].text == "answer to /slow"
        assert (ready.status_code, ready.text, live.status_code) == (503, "draining\n", 200)
        assert await gateway.ended() == 0


@EITHER
async def test_a_request_that_takes_longer_than_the_grace_is_cut_off(
    file: GatewayFile, upstream: Upstream, workers: str
) -> None:
    async with running_gateway(file, "--workers", workers, "--grace", "500ms") as gateway:
        async with httpx.AsyncClient() as client:
            slow = asyncio.gather(client.get(f"{gateway.url}/slow", timeout=20), return_exceptions=True)
            await asyncio.wait_for(upstream.arrived.wait(), 10)

            assert await gateway.stop() == 0
            (answer,) = await slow

        assert was_cut_off(answer)


@EITHER
async def test_a_second_interrupt_ends_it_at_once(file: GatewayFile, upstream: Upstream, workers: str) -> None:
    async with running_gateway(file, "--workers", workers) as gateway, httpx.AsyncClient() as client:
        slow = asyncio.gather(client.get(f"{gateway.url}/slow", timeout=20), return_exceptions=True)
        await asyncio.wait_for(upstream.arrived.wait(), 10)
        kill(gateway.pid, signal.SIGINT)
        await eventually(lambda: refuses(gateway.url))

        assert await gateway.stop(signal.SIGINT) == 130

        (answer,) = await slow
        assert was_cut_off(answer)


async def test_a_signal_to_every_process_drains_as_one_to_the_supervisor_does(
    file: GatewayFile, upstream: Upstream
) -> None:
    async with running_gateway(file, "--workers", "2") as gateway, httpx.AsyncClient() as client:
        slow = asyncio.gather(client.get(f"{gateway.url}/slow", timeout=20))
        await asyncio.wait_for(upstream.arrived.wait(), 10)

        for pid in (gateway.pid, *(await gateway.workers()).values()):
            kill(pid, signal.SIGTERM)
        await eventually(lambda: refuses(gateway.url))
        upstream.release.set()

        assert (await slow)[0].text == "answer to /slow"
        assert await gateway.ended() == 0
        assert "replaced" not in gateway.log


async def test_an_idle_connection_does_not_hold_up_the_end(file: GatewayFile) -> None:
    async with running_gateway(file, "--grace", "1h") as gateway, httpx.AsyncClient() as client:
        assert (await client.get(gateway.url)).status_code == 200

        assert await gateway.stop() == 0
