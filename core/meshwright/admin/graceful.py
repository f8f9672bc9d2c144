"""`GracefulServer`: uvicorn's server for the admin API, which a reload can move; what it serves goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import uvicorn
from starlette.types import ASGIApp

from meshwright.admin.connection import AdminConnection

logger = logging.getLogger("meshwright.listeners")

_ABORT_S = 5.0
"""How much longer than its grace a drain may take, for connections that were cut off to be gone."""


MOST_CONNECTIONS = 256


class GracefulServer(uvicorn.Server):
    """One address; signals belong to the process, not to it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def drain(self, serving: asyncio.Task[None], grace_s: float) -> None:
        """Take no more connections, give running requests `grace_s`, cut off what is left and log it.

        `serving` is the task of `serve`, whose protocol is AdminConnection.
        """
        self.should_exit = True
        try:
            await asyncio.wait([serving], timeout=grace_s)
        finally:
            left = len(self.server_state.connections)
            if left:
                noun = "connection" if left == 1 else "connections"
                logger.warning("admin API: %d %s cut off, still busy at the end of the drain", left, noun)
            self._cut_off()
        await asyncio.wait([serving], timeout=_ABORT_S)

    def _cut_off(self) -> None:
        self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            cast("AdminConnection", connection).abort()


def admin_server(app: ASGIApp) -> GracefulServer:
    """Return the server of the admin API for one address."""
    return GracefulServer(
        uvicorn.Config(
            app,
            http=AdminConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MOST_CONNECTIONS,
        )
    )
