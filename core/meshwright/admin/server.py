"""`Admin`: the admin API on its address, following the configuration; what it answers goes elsewhere."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from meshwright.admin.app import admin_app
from meshwright.config import Bind, Problem, config_error
from meshwright.processes.checked import CheckedConfig
from meshwright.processes.control import Control
from meshwright.processes.listeners import Server, address_of, bind_socket
from meshwright_sdk import Tasks

GRACE_S = 2
MOST_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class _Prepared:
    app: ASGIApp
    bind: Bind
    socket: socket.socket | None


class Admin:
    """A part of `Control`: the application is exchanged with each version, the socket when its address changed."""

    def __init__(self, control: Control) -> None:
        self.address = ""
        self._control = control
        self._app: ASGIApp | None = None
        self._bind: Bind | None = None
        self._server: Server | None = None
        self._prepared: dict[int, _Prepared] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._tasks = Tasks()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with the application of the version in use."""
        assert self._app is not None
        await self._app(scope, receive, send)

    async def prepare(self, config: CheckedConfig, version: int) -> None:
        """Make the application, and bind its address if that is a new one; raises ConfigError."""
        app = admin_app(self._control, config)
        bind = config.loaded.config.admin.bind
        new = None if bind == self._bind else _bind(config, bind)
        self._prepared[version] = _Prepared(app, bind, new)

    async def commit(self, version: int) -> None:
        """Answer with the new application; at the new address first, then no longer at the old one."""
        prepared = self._prepared.pop(version)
        self._app, self._bind = prepared.app, prepared.bind
        if prepared.socket is not None:
            before, self._server = self._server, self._serve(prepared.socket)
            if before is not None:
                before.should_exit = True

    async def discard(self, version: int) -> None:
        """Give back what was bound."""
        prepared = self._prepared.pop(version, None)
        if prepared is not None and prepared.socket is not None:
            prepared.socket.close()

    async def close(self) -> None:
        """Let running requests end, for a moment at most."""
        if self._server is not None:
            self._server.should_exit = True
        if self._serving:
            await asyncio.wait(self._serving, timeout=GRACE_S + 1)
        await self._tasks.close()

    def _serve(self, bound: socket.socket) -> Server:
        self.address = address_of(bound)
        server = Server(
            uvicorn.Config(
                self,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        bound.listen()  # from here on a client may connect; it is answered as soon as the server runs
        serving = self._tasks.spawn(server.serve(sockets=[bound]), name="admin API")
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        return server


def _bind(config: CheckedConfig, bind: Bind) -> socket.socket:
    try:
        return bind_socket(bind, reuse_port=False)
    except OSError as error:
        got = f"{bind} ({error.strerror or error})"
        problem = Problem("", None, ("admin", "bind"), "a free address of this machine", got)
        raise config_error([config.loaded.located(problem)]) from error
