from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from itertools import pairwise

import httpx
import pytest

from meshwright_sdk import Tasks
from tests.e2e.gateway_process import GatewayFile, GatewayProcess, Upstream, eventually, kill, running_gateway
from tests.ports import free_port

EITHER = pytest.mark.parametrize("workers", ["1", "2"])
STAMP = """\
from meshwright_sdk import filter

@filter
async def stamp(request, call_next):
    response = await call_next(request)
    response.headers["x-stamp"] = "STAMP"
    return response
"""


def version_is(gateway: GatewayProcess, wanted: int, workers: str) -> Callable[[], Awaitable[bool]]:
    async def reached() -> bool:
        return await gateway.versions() == [wanted] * int(workers)

    return reached


async def header(gateway: GatewayProcess, name: str) -> str | None:
    async with httpx.AsyncClient() as client:
        value: str | None = (await client.get(gateway.url)).headers.get(name)
        return value


def set_header(file: GatewayFile, value: str) -> None:
    text = "\n".join(line for line in file.text.splitlines() if not line.startswith("filters:"))
    file.write(f'{text}\nfilters: [{{headers: {{response: {{set: {{x-version: "{value}"}}}}}}}}]\n')


@EITHER
async def test_a_reload_that_is_asked_for_reaches_every_worker(file: GatewayFile, workers: str) -> None:
    async with running_gateway(file, "--workers", workers) as gateway:
        set_header(file, "new")
        answer = await gateway.post("/api/reload")

        assert answer.status_code == 200
        assert await gateway.versions() == [answer.json()["version"]] * int(workers)
        for _ in range(10):
            assert await header(gateway, "x-version") == "new"


@EITHER
async def test_a_change_of_the_file_reaches_every_worker_by_itself(file: GatewayFile, workers: str) -> None:
    async with running_gateway(file, "--workers", workers) as gateway:
        set_header(file, "new")

        await eventually(version_is(gateway, 2, workers))
        assert await header(gateway, "x-version") == "new"


@EITHER
async def test_another_balancer_takes_over_and_connections_to_the_upstream_stay(
    file: GatewayFile, upstream: Upstream, workers: str
) -> None:
    balancers = ("random", "{ring_hash: {key: client}}", "{ring_hash: {key: client, points: 40}}", "least_connections")
    file.replace("back: {", f"back: {{balancer: {balancers[0]}, ")
    async with running_gateway(file, "--workers", workers) as gateway, httpx.AsyncClient(timeout=20) as client:
        slow = asyncio.gather(client.get(f"{gateway.url}/slow"))
        await upstream.arrived.wait()
        used = set(upstream.connections)
        for before, after in pairwise(balancers):
            file.replace(f"balancer: {before}", f"balancer: {after}")
            assert (await gateway.post("/api/reload")).status_code == 200
        upstream.release.set()
        (answer,) = await slow
        again = await client.get(gateway.url)
        (service,) = (await gateway.get("/api/services")).json()["services"]

        assert (answer.status_code, again.status_code) == (200, 200)
        assert (service["balancer"], upstream.connections) == ("least_connections", used)


async def test_sighup_reloads(file: GatewayFile) -> None:
    async with running_gateway(file, "--workers", "2") as gateway:
        kill(gateway.pid, signal.SIGHUP)

        await eventually(version_is(gateway, 2, "2"))
        assert "version 2 is in use (SIGHUP)" in gateway.log


async def test_a_change_of_a_plugin_file_is_taken_over(file: GatewayFile) -> None:
    file.beside("stamp.py", STAMP.replace("STAMP", "1"))
    file.prepend("plugins: [./stamp.py]\nfilters: [stamp]\n")
    async with running_gateway(file, "--workers", "2") as gateway:
        assert await header(gateway, "x-stamp") == "1"
        file.beside("stamp.py", STAMP.replace("STAMP", "2"))

        await eventually(version_is(gateway, 2, "2"))
        for _ in range(10):
            assert await header(gateway, "x-stamp") == "2"


@EITHER
async def test_a_rejected_reload_changes_nothing_and_says_why(file: GatewayFile, workers: str) -> None:
    async with running_gateway(file, "--workers", workers) as gateway:
        right = file.text
        file.replace("to: back", "to: bakc")

        answer = await gateway.post("/api/reload")
        shown = (await gateway.get("/api/config")).json()

        message = 'routes[0].to: expected one of the services back; got "bakc" (did you mean "back"?)'
        assert answer.status_code == 422
        assert answer.json()["problems"][0]["message"].endswith(message)
        assert shown["last_rejected"]["problems"][0]["message"].endswith(message)
        assert message in gateway.log
        assert {each["version"] for each in shown["workers"]} == {1}
        async with httpx.AsyncClient() as client:
            assert (await client.get(gateway.url)).text == "answer to /"

        file.write(right)
        assert (await gateway.post("/api/reload")).status_code == 200
        assert (await gateway.get("/api/config")).json()["last_rejected"] is None


@EITHER
async def test_a_plugin_that_refuses_to_start_rejects_the_reload_in_all_workers(
    file: GatewayFile, workers: str
) -> None:
    file.beside(
        "broken.py",
        "from meshwright_sdk import Filter, NoOptions\n\n"
        "class Broken(Filter[NoOptions]):\n"
        "    async def start(self):\n"
        "        raise ValueError('expected a key server; got none')\n",
    )
    async with running_gateway(file, "--workers", workers) as gateway:
        file.prepend("plugins: [./broken.py]\nfilters: [broken]\n")

        answer = await gateway.post("/api/reload")

        (problem,) = answer.json()["problems"]
        assert (answer.status_code, problem["line"]) == (422, 2)
        assert "expected a key server; got none" in problem["message"]
        assert set(await gateway.versions()) == {1}


@EITHER
async def test_listeners_come_and_go_with_a_reload(file: GatewayFile, workers: str) -> None:
    async with running_gateway(file, "--workers", workers) as gateway:
        before, extra = file.text, f"127.0.0.1:{free_port()}"
        file.replace("admin:", f'  - {{name: extra, bind: "{extra}"}}\nadmin:')
        assert (await gateway.post("/api/reload")).status_code == 200
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"http://{extra}/")).text == "answer to /"
            assert (await client.get(gateway.url)).text == "answer to /"

        file.write(before)
        assert (await gateway.post("/api/reload")).status_code == 200

        async def refused() -> bool:
            try:
                async with httpx.AsyncClient() as client:
                    await client.get(f"http://{extra}/")
            except httpx.ConnectError:
                return True
            return False

        await eventually(refused)
        async with httpx.AsyncClient() as client:
            assert (await client.get(gateway.url)).text == "answer to /"


@EITHER
async def test_a_listener_whose_port_is_in_use_rejects_the_reload(file: GatewayFile, workers: str) -> None:
    async with running_gateway(file, "--workers", workers) as gateway:
        with socket.socket() as stranger:
            stranger.bind(("127.0.0.1", 0))
            stranger.listen()
            address = f"127.0.0.1:{stranger.getsockname()[1]}"
            file.replace("admin:", f'  - {{name: extra, bind: "{address}"}}\nadmin:')
            answer = await gateway.post("/api/reload")

        (problem,) = answer.json()["problems"]
        assert problem["message"].endswith(
            f":3: listeners[1].bind: expected a free address; got {address}, which is in use"
        )


async def test_the_admin_api_moves_to_its_new_address(file: GatewayFile) -> None:
    async with running_gateway(file) as gateway:
        old, new = gateway.admin, f"127.0.0.1:{free_port()}"
        file.replace('admin: {bind: "127.0.0.1:0"', f'admin: {{bind: "{new}"')
        assert (await gateway.post("/api/reload")).status_code == 200

        gateway.admin = f"http://{new}"
        assert (await gateway.get("/readyz")).status_code == 200
        gateway.admin = old

        async def refused() -> bool:
            try:
                await gateway.get("/readyz")
            except httpx.ConnectError:
                return True
            return False

        await eventually(refused)


@EITHER
async def test_no_request_fails_while_the_configuration_is_reloaded_again_and_again(
    file: GatewayFile, upstream: Upstream, workers: str
) -> None:
    async with running_gateway(file, "--workers", workers) as gateway:
        statuses: dict[int, int] = {}

        async def load() -> None:
            async with httpx.AsyncClient() as client:
                while True:
                    status = (await client.get(gateway.url)).status_code
                    statuses[status] = statuses.get(status, 0) + 1
                    await asyncio.sleep(0.002)

        tasks = Tasks()
        running = [tasks.spawn(load(), name="load") for _ in range(3)]
        for number in range(8):
            set_header(file, str(number))
            assert (await gateway.post("/api/reload")).status_code == 200
        still_running = [not each.done() for each in running]
        await tasks.close()

        assert still_running == [True, True, True]
        assert set(statuses) == {200}
        assert statuses[200] > 20
