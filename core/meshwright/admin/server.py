"""`Admin`: the admin API, following the configuration; how it is served, and what it answers, goes elsewhere."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from meshwright.admin.serving import Serving
from meshwright.config import Bind, Problem, config_error
from meshwright.net.sockets import SocketFile, bind_socket
from meshwright.processes.control import Control
from meshwright.traffic.checked import CheckedConfig
from meshwright_sdk import Tasks

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HOOK = "meshwright_admin_routes"


@dataclass(frozen=True, slots=True)
class _Prepared:
    config: CheckedConfig
    app: ASGIApp | None
    socket: socket.socket | None

    @property
    def bind(self) -> Bind:
        return self.config.loaded.config.admin.bind


class Admin:
    """A part of `Control`: the application is exchanged with each version, the socket when its address changed.

    The application is made for its first request, for at the start there are better things to do; earlier only
    where a plugin has routes in it, which may be wrong.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._using: _Prepared | None = None
        self._app: ASGIApp | None = None
        self._serving: Serving | None = None
        self._is_open = False
        self._prepared: dict[int, _Prepared] = {}
        self._tasks = Tasks()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with the application of the version in use."""
        if self._app is None:
            assert self._using is not None
            self._app = self._make_app(self._using.config)
        await self._app(scope, receive, send)

    @property
    def address(self) -> str:
        """Where it listens."""
        return self._serving.address if self._serving else ""

    def open(self) -> None:
        """Get ready to answer, now that traffic is served; before, only a client makes it."""
        self._is_open = True
        if self._serving is not None:
            self._serving.open()

    async def prepare(self, config: CheckedConfig, version: int) -> None:
        """Make what may fail for this configuration, and bind its address if that is a new one; raises ConfigError."""
        app = self._make_app(config) if config.registry.offers(HOOK) else None
        bind = config.loaded.config.admin.bind
        new = None if self._using is not None and bind == self._using.bind else _bind(config, bind)
        self._prepared[version] = _Prepared(config, app, new)

    async def commit(self, version: int) -> None:
        """Answer with the new application; at the new address first, then no longer at the old one."""
        self._using = prepared = self._prepared.pop(version)
        self._app = prepared.app
        if prepared.socket is not None:
            before, self._serving = self._serving, Serving(self, prepared.socket, self._tasks)
            if self._is_open:
                self._serving.open()
            if before is not None:
                self._tasks.spawn(before.end(), name="end of the admin API at its old address")

    async def discard(self, version: int) -> None:
        """Give back what was bound."""
        prepared = self._prepared.pop(version, None)
        if prepared is not None and prepared.socket is not None:
            file = SocketFile.of(prepared.socket)
            prepared.socket.close()
            if file is not None:
                file.remove()

    async def close(self) -> None:
        """Let running requests end, for a moment at most."""
        serving, self._serving = self._serving, None
        if serving is not None:
            await serving.end()
        await self._tasks.close()

    def _make_app(self, config: CheckedConfig) -> ASGIApp:
        from meshwright.admin.app import admin_app

        return admin_app(self._control, config)


def _bind(config: CheckedConfig, bind: Bind) -> socket.socket:
    try:
        return bind_socket(bind, reuse_port=False)
    except OSError as error:
        got = f"{bind} ({error.strerror or error})"
        problem = Problem("", None, ("admin", "bind"), "a free address of this machine", got)
        raise config_error([config.loaded.located(problem)]) from error
