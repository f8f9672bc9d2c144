"""`Serving`: the admin API at one address, from its socket to its drain; what answers there goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshwright.net.sockets import SocketFile, address_of
from meshwright.traffic.beside import in_thread
from meshwright_sdk import Tasks

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from meshwright.admin.graceful import GracefulServer

logger = logging.getLogger("meshwright.admin")

GRACE_S = 2.0
RETRY_S = 1.0
"""How long to wait when what answers could not be imported."""


class Serving:
    """Lets clients connect at once, and answers them as soon as uvicorn and Starlette are imported.

    That takes a seventh of the time of a start (70 ms of 500). It begins when the first client is there or `open` is
    called, whichever comes first, and goes on in a thread, so that it delays no traffic.
    """

    def __init__(self, app: ASGIApp, bound: socket.socket, tasks: Tasks) -> None:
        self.address = address_of(bound)
        self._file = SocketFile.of(bound)
        self._app = app
        self._socket = bound
        self._wanted = asyncio.Event()
        self._server: GracefulServer | None = None
        bound.listen()
        asyncio.get_running_loop().add_reader(bound, self.open)
        self._task = tasks.spawn(self._serve(), name="admin API")

    def open(self) -> None:
        """Get ready to answer, whether a client waits or not."""
        self._wanted.set()

    async def end(self) -> None:
        """Let running requests end, for a moment at most; the file of a Unix socket goes at once."""
        if self._file is not None:
            self._file.remove()
        if self._server is not None:
            await self._server.drain(self._task, GRACE_S)
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    async def _serve(self) -> None:
        await self._wanted.wait()
        asyncio.get_running_loop().remove_reader(self._socket)
        make_server = await self._imported()
        self._server = make_server(self._app)
        await self._server.serve(sockets=[self._socket])

    async def _imported(self) -> Callable[[ASGIApp], GracefulServer]:
        """Return what makes the server; an import fails, for once, when connections have all file descriptors."""
        told = False
        while True:
            try:
                return await in_thread(_imported)
            except Exception:
                if not told:
                    logger.exception("the admin API cannot answer yet, and tries again each second")
                told = True
            await asyncio.sleep(RETRY_S)


def _imported() -> Callable[[ASGIApp], GracefulServer]:
    """Import all that answering takes, the application too, and return what makes the server."""
    import meshwright.admin.app  # noqa: F401
    from meshwright.admin.graceful import admin_server

    return admin_server
