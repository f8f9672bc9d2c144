from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from meshwright_sdk import Tasks
from tests.e2e.gateway_process import (
    GatewayFile,
    GatewayProcess,
    Upstream,
    eventually,
    is_running,
    kill,
    refused_gateway,
    running_gateway,
)

WORKERS = ("--workers", "2")


async def requests_total(gateway: GatewayProcess) -> float:
    page = (await gateway.get("/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "meshwright_requests_total"
    )


async def ask(url: str, path: str = "/") -> str:
    """Ask on a connection of its own, as only a new connection may reach another worker."""
    async with httpx.AsyncClient() as client:
        return (await client.get(url + path)).text


async def test_workers_share_the_port_that_the_system_chose(file: GatewayFile) -> None:
    async with running_gateway(file, *WORKERS) as gateway:
        for _ in range(20):
            assert await ask(gateway.url) == "answer to /"
        workers = (await gateway.get("/api/config")).json()["workers"]

        groups = {os.getpgid(pid) for pid in (gateway.pid, *(each["pid"] for each in workers))}
        assert len(groups) == 3  # so that Ctrl-C on a terminal reaches the supervisor alone
        assert [f"http://{each['listeners'][0]['bind']}" for each in workers] == [gateway.url] * 2
        assert len({each["pid"] for each in workers} | {gateway.pid}) == 3
        assert await gateway.stop() == 0


async def test_a_worker_that_is_killed_under_load_is_replaced(file: GatewayFile) -> None:
    async with running_gateway(file, *WORKERS) as gateway:
        before = await gateway.workers()
        answered, failed = 0, 0

        async def load() -> None:
            nonlocal answered, failed
            while True:
                try:
                    answered += await ask(gateway.url) == "answer to /"
                except httpx.TransportError:
                    failed += 1
                await asyncio.sleep(0.01)

        async def replaced() -> bool:
            now = await gateway.workers()
            return set(now) == {"0", "1"} and now["0"] != before["0"]

        async def answers(more: int) -> None:
            wanted = answered + more

            async def reached() -> bool:
                return answered >= wanted

            await eventually(reached)

        tasks = Tasks()
        tasks.spawn(load(), name="load")
        await answers(5)
        counted = await requests_total(gateway)
        kill(before["0"])
        await eventually(replaced)
        await answers(5)
        await tasks.close()

        assert (await gateway.workers())["1"] == before["1"]
        assert failed < 20
        assert await requests_total(gateway) > counted
        assert "worker 0" in gateway.log
        assert "was ended by SIGKILL; replaced in 0 s" in gateway.log
        assert "meshwright_worker_deaths_total 1\n" in (await gateway.get("/metrics")).text
        assert await gateway.stop() == 0


async def test_a_replacement_runs_the_version_in_use(file: GatewayFile) -> None:
    async with running_gateway(file, *WORKERS) as gateway:
        await gateway.post("/api/reload")
        before = await gateway.workers()
        kill(before["1"])

        async def replaced() -> bool:
            return (await gateway.workers()).get("1") not in (None, before["1"])

        await eventually(replaced)

        assert await gateway.versions() == [2, 2]


async def test_a_worker_that_is_terminated_drains_and_is_replaced(file: GatewayFile, upstream: Upstream) -> None:
    async with running_gateway(file, "--workers", "2") as gateway:
        before = await gateway.workers()
        async with httpx.AsyncClient() as client:
            slow = asyncio.gather(client.get(f"{gateway.url}/slow", timeout=20))
            await asyncio.wait_for(upstream.arrived.wait(), 10)
            for pid in before.values():
                kill(pid, signal.SIGTERM)
            await asyncio.sleep(0.3)
            upstream.release.set()

            assert (await slow)[0].text == "answer to /slow"

        async def replaced() -> bool:
            now = await gateway.workers()
            return len(now) == 2 and not set(now.values()) & set(before.values())

        await eventually(replaced)
        assert await ask(gateway.url) == "answer to /"
        assert "exited with 0" in gateway.log


async def test_workers_do_not_outlive_a_supervisor_that_is_killed(file: GatewayFile) -> None:
    async with running_gateway(file, *WORKERS) as gateway:
        workers = await gateway.workers()
        kill(gateway.pid)

        async def gone() -> bool:
            return not any(is_running(pid) for pid in workers.values())

        await eventually(gone)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_port_in_use_is_one_clear_error(file: GatewayFile, workers: str) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        file.replace("127.0.0.1:0", address)

        code, lines = await refused_gateway(file.path, "--workers", workers)

    assert code == 1
    assert lines[0] == f"{file.path}:2: listeners[0].bind: expected a free address; got {address}, which is in use"


async def test_an_admin_port_in_use_is_one_clear_error(file: GatewayFile) -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        address = f"127.0.0.1:{stranger.getsockname()[1]}"
        file.replace('admin: {bind: "127.0.0.1:0"', f'admin: {{bind: "{address}"')

        code, lines = await refused_gateway(file.path)

    assert code == 1
    assert lines[0].startswith(f"{file.path}:3: admin.bind: expected a free address of this machine; got {address}")


async def test_a_file_that_is_missing_is_one_clear_error(tmp_path: Path) -> None:
    code, lines = await refused_gateway(tmp_path / "gateway.yaml")

    assert code != 0
    assert "gateway.yaml" in lines[-1]
    assert "does not exist" in lines[-1]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_wrong_file_is_told_with_every_problem_and_no_traceback(file: GatewayFile, workers: str) -> None:
    file.replace("to: back", "to: bakc")
    file.replace("http://", "ftp://")

    code, lines = await refused_gateway(file.path, "--workers", workers)

    assert code == 1
    assert [line.split(": ")[1] for line in lines[:2]] == ["routes[0].to", "services.back.endpoints[0]"]
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_plugin_whose_start_fails_is_told_once_and_nothing_is_left_running(
    file: GatewayFile, workers: str
) -> None:
    file.beside(
        "broken.py",
        "from meshwright_sdk import Filter, NoOptions\n\n"
        "class Broken(Filter[NoOptions]):\n"
        "    async def start(self):\n"
        "        raise ValueError('expected a key server; got none')\n",
    )
    file.prepend("plugins: [./broken.py]\nfilters: [broken]\n")

    code, lines = await refused_gateway(file.path, "--workers", workers)

    assert code == 1
    assert len([line for line in lines if "expected a key server; got none" in line]) == 1
    assert not any("Traceback" in line for line in lines)
