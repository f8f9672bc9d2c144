"""The ways by which requests come in: the direct path, and ASGI under uvicorn's two HTTP implementations."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from meshwright.asgi.exchange import serve_http
from meshwright.asgi.inbox import Watch
from meshwright.http1.forwarding import Forwarding
from meshwright.http1.server import Handle
from meshwright_sdk import Tasks
from meshwright_sdk.asgi import Receive, Scope, Send

DIRECT = "direct"
ASGI = {"asgi-httptools": "httptools", "asgi-h11": "h11"}

current = DIRECT
"""The way of the test that runs; the fixture `way_in` sets it."""

# Rules that are uvicorn's, where it has others than we do: no application can change them.

NO_LENGTH_IN_304 = frozenset(ASGI)
"""It would count the bytes."""

KEEPS_AFTER_EARLY_ANSWER = frozenset(ASGI)
"""It reads what is left of the request, however long, and goes on."""

CHUNKS_FOR_HTTP_1_0 = frozenset(("asgi-httptools",))
"""It frames by chunks what has no length, whatever the client's version."""

ENDS_HTTP_1_0_CLEANLY = frozenset(("asgi-h11",))
"""It closes the connection, which to a client of HTTP/1.0 is the end of what has no length."""

NO_DATE = frozenset(ASGI)
"""The server that writes it does not run here, its connections alone do."""

every_way_in = pytest.mark.parametrize("way_in", [DIRECT, *ASGI], indirect=True)
"""Has a test run over each way."""


@asynccontextmanager
async def asgi_protocols(
    handle: Handle, way: str, forwarding: Forwarding
) -> AsyncIterator[tuple[ServerState, Callable[[], asyncio.Protocol]]]:
    """Give a factory of uvicorn's connections that serve `handle` by the ASGI path, and what they share."""
    tasks = Tasks()
    watch = Watch(tasks)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await serve_http(handle, watch, scope, receive, send, forwarding)

    config = uvicorn.Config(
        app, http=ASGI[way], ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False
    )
    config.load()
    protocol: Any = config.http_protocol_class
    state = ServerState()

    def connection() -> asyncio.Protocol:
        made: asyncio.Protocol = protocol(config=config, server_state=state, app_state={})
        return made

    try:
        yield state, connection
    finally:
        watch.close()
        await tasks.close()
