"""`Admin`: the admin API on its address, following the configuration; what it answers goes elsewhere."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from meshwright.admin.app import admin_app
from meshwright.admin.connection import AdminConnection
from meshwright.admin.graceful import GracefulServer
from meshwright.config import Bind, Problem, config_error
from meshwright.net.sockets import address_of, bind_socket
from meshwright.processes.control import Control
from meshwright.traffic.checked import CheckedConfig
from meshwright_sdk import Tasks

GRACE_S = 2.0
MOST_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class _Prepared:
    app: ASGIApp
    bind: Bind
    socket: socket.socket | None


@dataclass(frozen=True, slots=True)
class _Serving:
    server: GracefulServer
    task: asyncio.Task[None]

    async def end(self) -> None:
        """Let running requests end, for a moment at most."""
        await self.server.drain(self.task, GRACE_S)


class Admin:
    """A part of `Control`: the application is exchanged with each version, the socket when its address changed."""

    def __init__(self, control: Control) -> None:
        self.address = ""
        self._control = control
        self._app: ASGIApp | None = None
        self._bind: Bind | None = None
        self._serving: _Serving | None = None
        self._prepared: dict[int, _Prepared] = {}
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
            before, self._serving = self._serving, self._serve(prepared.socket)
            if before is not None:
                self._tasks.spawn(before.end(), name="end of the admin API at its old address")

    async def discard(self, version: int) -> None:
        """Give back what was bound."""
        prepared = self._prepared.pop(version, None)
        if prepared is not None and prepared.socket is not None:
            prepared.socket.close()

    async def close(self) -> None:
        """Let running requests end, for a moment at most."""
        if self._serving is not None:
            await self._serving.end()
        await self._tasks.close()

    def _serve(self, bound: socket.socket) -> _Serving:
        self.address = address_of(bound)
        server = GracefulServer(
            uvicorn.Config(
                self,
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
        bound.listen()  # from here on a client may connect; it is answered as soon as the server runs
        return _Serving(server, self._tasks.spawn(server.serve(sockets=[bound]), name="admin API"))


def _bind(config: CheckedConfig, bind: Bind) -> socket.socket:
    try:
        return bind_socket(bind, reuse_port=False)
    except OSError as error:
        got = f"{bind} ({error.strerror or error})"
        problem = Problem("", None, ("admin", "bind"), "a free address of this machine", got)
        raise config_error([config.loaded.located(problem)]) from error
