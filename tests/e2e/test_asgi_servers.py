"""The gateway as an application under real ASGI servers: HTTP, streams, WebSockets, and clients that leave."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from meshwright_sdk import Tasks
from tests.e2e.gateway_process import eventually
from tests.ports import free_port

ROOT = Path(__file__).parent.parent.parent
APPS = "tests.e2e.asgi_apps"
YAML = """
filters: [{asgi: {middleware: "starlette.middleware.gzip:GZipMiddleware", options: {minimum_size: 5000}}}]
routes:
  - {name: local, match: {path: "/local/*"}, filters: [{rewrite: {strip_prefix: /local}}], to: local}
  - {name: all, match: {path: "/*"}, to: back}
  - {name: none, match: {path: "/nothing"}, filters: [{respond: {status: 418, text: teapot}}]}
services:
  back: {endpoints: ["UPSTREAM"]}
  local: {app: "tests.e2e.asgi_apps:upstream"}
"""
START_S = 40.0

Command = Callable[[str, int], list[str]]

SERVERS: dict[str, Command] = {
    "uvicorn": lambda app, port: ["uvicorn", app, "--port", str(port), "--log-level", "warning"],
    "hypercorn": lambda app, port: ["hypercorn", app, "--bind", f"127.0.0.1:{port}", "--log-level", "warning"],
    "granian": lambda app, port: ["granian", app, "--interface", "asgi", "--port", str(port), "--log-level", "warning"],
}


CLOSES_TOLD = {"uvicorn": "closed 4001 {}", "hypercorn": "closed 1005 ", "granian": "closed 4001 "}
"""What an upstream learns of a client's close 4001: Hypercorn keeps the code to itself, Granian the reason."""

ACCEPTS_HEADERS = ("uvicorn", "hypercorn")
"""Servers that send the headers an application puts into websocket.accept."""


@contextmanager
def serving(command: Command, app: str, **environment: str) -> Iterator[str]:
    """Run a server in a process of its own; give its address once it answers."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", *command(f"{APPS}:{app}", port)], cwd=ROOT, env=os.environ | environment
    )
    try:
        _wait_for(port, process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)  # noqa: TID251 (no event loop runs here)
        else:
            return
    raise AssertionError(f"the server on port {port} did not start; exit code {process.poll()}")


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with serving(SERVERS["uvicorn"], "upstream") as address:
        yield address


@pytest.fixture(scope="module", params=list(SERVERS))
def served(
    request: pytest.FixtureRequest, upstream: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """Give the name of one of the servers and its address; it serves the gateway."""
    file = tmp_path_factory.mktemp("asgi") / "gateway.yaml"
    file.write_text(YAML.replace("UPSTREAM", f"http://{upstream}"))
    with serving(SERVERS[request.param], "gateway", GATEWAY_FILE=str(file)) as address:
        yield request.param, address


@pytest.fixture
def server(served: tuple[str, str]) -> str:
    return served[1]


@pytest.fixture(scope="module")
def mounted(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of an application that has the gateway below `/gw`."""
    file = tmp_path_factory.mktemp("asgi") / "gateway.yaml"
    file.write_text(YAML.replace("UPSTREAM", f"http://{upstream}"))
    with serving(SERVERS["uvicorn"], "host", GATEWAY_FILE=str(file)) as address:
        yield address


@pytest.fixture
async def client(server: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://{server}", timeout=20) as client:
        yield client


async def saw(upstream: str, event: str) -> None:
    """Return once the upstream has seen `event`."""

    async def holds() -> bool:
        async with httpx.AsyncClient() as client:
            return event in (await client.get(f"http://{upstream}/seen")).json()

    await eventually(holds, within_s=20.0)


async def release(upstream: str, name: str) -> None:
    async with httpx.AsyncClient() as client:
        await client.get(f"http://{upstream}/release", params={"id": name})


async def test_a_request_is_proxied(client: httpx.AsyncClient, server: str, upstream: str) -> None:
    answer = await client.get("/hello/a%2Fb%20c?q=1", headers={"x-mine": "1", "connection": "x-hop", "x-hop": "1"})

    assert answer.status_code == 200
    got = answer.json()
    assert (got["path"], got["query"], got["headers"]["x-mine"]) == ("/hello/a/b c", "q=1", "1")
    assert (got["headers"]["x-forwarded-for"], got["headers"]["x-forwarded-host"]) == ("127.0.0.1", server)
    assert "x-hop" not in got["headers"]
    assert len(answer.headers.get_list("date")) == len(answer.headers.get_list("server")) == 1


async def test_many_requests_share_a_connection(client: httpx.AsyncClient) -> None:
    answers = [await client.get(f"/hello/{n}") for n in range(20)]

    assert [answer.json()["path"] for answer in answers] == [f"/hello/{n}" for n in range(20)]


async def test_large_bodies_stream_both_ways(client: httpx.AsyncClient) -> None:
    async def content() -> AsyncIterator[bytes]:
        for n in range(100):
            yield bytes([n]) * 50_000

    answer = await client.post("/echo/", content=content(), headers={"accept-encoding": "identity"})

    assert answer.content == b"".join([bytes([n]) * 50_000 for n in range(100)])


async def test_a_body_with_a_length_passes(client: httpx.AsyncClient) -> None:
    assert (await client.post("/echo/", content=b"x" * 300_000)).content == b"x" * 300_000


@pytest.mark.parametrize("prefix", ["", "/local"], ids=["upstream", "application"])
async def test_events_come_without_delay(client: httpx.AsyncClient, upstream: str, prefix: str) -> None:
    name = uuid4().hex
    async with client.stream("GET", f"{prefix}/events", params={"id": name}) as answer:
        lines = answer.aiter_lines()
        first = [await anext(lines), await anext(lines)]
        if prefix:
            await client.get("/local/release", params={"id": name})
        else:
            await release(upstream, name)
        rest = [line async for line in lines]

    assert (first, rest[:1]) == (["data: one", ""], ["data: two"])


async def test_a_client_that_leaves_cancels_the_upstream_request(client: httpx.AsyncClient, upstream: str) -> None:
    name = uuid4().hex
    tasks = Tasks()
    tasks.spawn(client.get("/slow", params={"id": name}), name="client")
    await saw(upstream, f"came {name}")
    await tasks.close()

    await saw(upstream, f"left {name}")


async def test_a_client_that_leaves_amid_a_stream_closes_it_upstream(client: httpx.AsyncClient, upstream: str) -> None:
    name = uuid4().hex
    async with client.stream("GET", "/events", params={"id": name}) as answer:
        await anext(answer.aiter_lines())

    await saw(upstream, f"left {name}")


@pytest.mark.parametrize("query", ["", "?length"], ids=["chunked", "with a length"])
async def test_a_body_that_breaks_off_is_never_taken_for_the_whole(client: httpx.AsyncClient, query: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await client.get(f"/break{query}")


async def test_answers_without_content_are_passed_on(client: httpx.AsyncClient) -> None:
    unchanged = await client.get("/unchanged")
    head = await client.head("/hello/x")
    after = await client.get("/hello/x")

    assert (unchanged.status_code, unchanged.headers["etag"], head.status_code) == (304, '"1"', 200)
    assert (head.content, after.status_code) == (b"", 200)


async def test_the_gateways_own_answers(client: httpx.AsyncClient) -> None:
    teapot = await client.get("/nothing")
    problem = await client.get("/%zz")

    assert (teapot.status_code, teapot.text) == (418, "teapot")
    assert (problem.status_code, problem.json()["code"]) == (400, "bad_target")


async def test_a_middleware_compresses(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo/", content=b"x" * 100_000, headers={"accept-encoding": "gzip"})

    assert (answer.headers["content-encoding"], answer.content) == ("gzip", b"x" * 100_000)


@pytest.mark.parametrize("path", ["/chat", "/local/chat"], ids=["upstream", "application"])
async def test_a_websocket_talks(served: tuple[str, str], path: str) -> None:
    name, server = served
    async with connect(f"ws://{server}{path}", subprotocols=[Subprotocol("other"), Subprotocol("chat")]) as ws:
        await ws.send("grüß dich")
        await ws.send(b"\x00" * 200_000)
        got = [await ws.recv(), await ws.recv()]

    assert (ws.subprotocol, got) == ("chat", ["grüß dich", b"\x00" * 200_000])
    assert ws.response is not None
    assert ws.response.headers.get("x-chat") == ("1" if name in ACCEPTS_HEADERS else None)


async def test_how_the_upstream_closes_a_websocket_is_passed_on(server: str) -> None:
    async with connect(f"ws://{server}/chat") as ws:
        await ws.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            await ws.recv()

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4002, "as you wish")


async def test_how_the_client_closes_a_websocket_is_passed_on(served: tuple[str, str], upstream: str) -> None:
    name, server = served
    reason = uuid4().hex
    async with connect(f"ws://{server}/chat") as ws:
        await ws.close(4001, reason)

    await saw(upstream, CLOSES_TOLD[name].format(reason))


async def test_a_websocket_that_is_refused_is_refused(server: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{server}/nothing").__aenter__()

    assert refused.value.response.status_code in (403, 418)


async def test_below_a_mount_the_gateway_sees_the_rest_of_the_path(mounted: str) -> None:
    async with httpx.AsyncClient(base_url=f"http://{mounted}") as client:
        below = await client.get("/gw/hello/a%2Fb")
        beside = await client.get("/hello/x")
    async with connect(f"ws://{mounted}/gw/chat") as ws:
        await ws.send("hi")
        answer = await ws.recv()

    assert (below.json()["path"], beside.status_code, answer) == ("/hello/a/b", 404, "hi")
