from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from meshwright.admin.connection import HEAD_S, AdminConnection
from meshwright.admin.graceful import GracefulServer
from meshwright.config import Bind
from meshwright.net.sockets import bind_socket
from meshwright_sdk import Tasks

REQUEST = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Hasty(AdminConnection):
    head_s = 0.1


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.sleep(0.3 if scope["path"] == "/slow" else 0)
    await PlainTextResponse("ok")(scope, receive, send)


@asynccontextmanager
async def sent(request: bytes) -> AsyncIterator[asyncio.StreamReader]:
    """Connect and send before the server's time begins."""
    bound = bind_socket(Bind("127.0.0.1", 0))
    bound.listen()
    port = bound.getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    server = GracefulServer(uvicorn.Config(application, http=Hasty, ws="none", lifespan="off", log_config=None))
    tasks = Tasks()
    serving = tasks.spawn(server.serve(sockets=[bound]), name="server")
    try:
        yield reader
    finally:
        writer.close()
        await server.drain(serving, 1.0)


@pytest.mark.parametrize(
    "asked", [b"", REQUEST[:20], REQUEST + REQUEST[:20]], ids=["nothing", "half", "one and a half"]
)
async def test_a_connection_without_a_whole_request_is_closed_in_time(asked: bytes) -> None:
    async with sent(asked) as reader:
        answer = await asyncio.wait_for(reader.read(), HEAD_S / 2)

        assert answer.count(b"200 OK") == asked.count(b"\r\n\r\n")


async def test_a_request_that_runs_for_longer_is_answered() -> None:
    async with sent(REQUEST.replace(b"/livez", b"/slow")) as reader:
        assert b"200 OK" in await asyncio.wait_for(reader.readuntil(b"ok"), HEAD_S / 2)
