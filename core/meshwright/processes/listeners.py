"""`Listeners`: the sockets clients connect to, served by uvicorn with our protocol; requests go to the gateway."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import uvicorn

from meshwright.config.problems import Problem, config_error
from meshwright.http1.counts import ListenerCounts
from meshwright.http1.forwarding import Forwarding
from meshwright.http1.server import Handle, HttpServerProtocol
from meshwright_sdk.errors import ConfigError
from meshwright_sdk.metrics import Metrics
from meshwright_sdk.tasks import Tasks

if TYPE_CHECKING:
    from meshwright.config.bind import Bind
    from meshwright.config.model import ListenerConfig

logger = logging.getLogger("meshwright.listeners")

MakeProtocol = Callable[..., HttpServerProtocol]
"""Makes the protocol of one connection from the arguments that uvicorn gives."""

BACKLOG = 2048
_SWEEP_S = 0.5
_ABORT_S = 5.0
"""How much longer than its grace a drain may take, for connections that were cut off to be gone."""


def bind_socket(bind: Bind, *, reuse_port: bool = False) -> socket.socket:
    """Return a bound socket that does not listen yet.

    With `reuse_port` several processes share the address (SO_REUSEPORT). Raises OSError.
    """
    if bind.path:
        return _bind_unix(bind.path)
    found = socket.getaddrinfo(bind.host, bind.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, proto, _, address = found[0]
    bound = socket.socket(family, kind, proto)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
    except OSError:
        bound.close()
        raise
    return bound


def _bind_unix(path: str) -> socket.socket:
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        os.unlink(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
    except OSError:
        bound.close()
        raise
    return bound


def address_of(bound: socket.socket) -> str:
    """Return the address of a bound socket as the YAML would write it."""
    name = bound.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


class Server(uvicorn.Server):
    """uvicorn's server for one address; signals belong to the process, not to it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def drain(self, serving: asyncio.Task[None], grace_s: float, what: str) -> None:
        """Take no more connections, give running requests `grace_s`, cut off what is left of `what` and log it.

        `serving` is the task of `serve`, whose protocols have an `abort`.
        """
        self.should_exit = True
        try:
            await asyncio.wait([serving], timeout=grace_s)
        finally:
            left = len(self.server_state.connections)
            if left:
                noun = "connection" if left == 1 else "connections"
                logger.warning("%s: %d %s cut off, still busy at the end of the drain", what, left, noun)
            self._cut_off()
        await asyncio.wait([serving], timeout=_ABORT_S)

    def _cut_off(self) -> None:
        self.force_exit = True
        for task in self.server_state.tasks:
            task.cancel()
        for connection in list(self.server_state.connections):
            cast("HttpServerProtocol", connection).abort()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A listener's name and the address it really has."""

    name: str
    bind: str
    scheme: str


class Listener:
    """One listening socket and the connections it took."""

    def __init__(self, config: ListenerConfig, bound: socket.socket, protocol: MakeProtocol, base_dir: Path) -> None:
        self.config = config
        self.bound = Bound(
            name=config.name, bind=address_of(bound), scheme="https" if config.tls is not None else "http"
        )
        self._socket = bound
        tls: dict[str, Any] = {}
        if config.tls is not None:
            tls = {
                "ssl_certfile": str(base_dir / config.tls.certificate),
                "ssl_keyfile": str(base_dir / config.tls.key),
            }
        self._server = Server(
            uvicorn.Config(
                _not_asgi,
                http=cast("type[asyncio.Protocol]", protocol),
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                proxy_headers=False,
                backlog=BACKLOG,
                **tls,
            )
        )
        self._server.config.load()

    def open(self) -> None:
        """Let clients connect; they are answered as soon as `serve` runs."""
        self._socket.listen(BACKLOG)

    async def serve(self) -> None:
        """Take connections until `close`."""
        sweep = asyncio.get_running_loop().create_task(self._sweep(), name=f"sweep of listener {self.bound.name}")
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            sweep.cancel()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = loop.time()
            for connection in list(self._server.server_state.connections):
                cast("HttpServerProtocol", connection).sweep(now)

    async def drain(self, serving: asyncio.Task[None], grace_s: float) -> None:
        """Have `serve`, which is the task `serving`, take no more connections and end."""
        await self._server.drain(serving, grace_s, f"listener {self.bound.name}")

    def share(self) -> socket.socket:
        """Return the same socket for the listener that follows on the same address."""
        return self._socket.dup()

    def discard(self) -> None:
        """Give the socket back without having served."""
        self._socket.close()

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._server.server_state.connections)


async def _not_asgi(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("a listener's connections are served by its protocol, not by an application")


class Listeners:
    """Every listener of one worker; a reload keeps those whose configuration did not change.

    `ports` gives the port of a listener that asks for port 0, by name, so that workers share it.
    """

    def __init__(
        self, handle: Handle, metrics: Metrics, *, reuse_port: bool = False, ports: Mapping[str, int] | None = None
    ) -> None:
        self._handle = handle
        self._metrics = metrics
        self._reuse_port = reuse_port
        self._ports = ports if ports is not None else {}
        self._running: dict[Listener, asyncio.Task[None]] = {}
        self._draining: set[asyncio.Task[None]] = set()
        self._tasks = Tasks()

    def prepare(self, configs: Sequence[ListenerConfig], base_dir: Path) -> list[Listener]:
        """Bind what is new, and return the listeners of the configuration, running ones included.

        Raises ConfigError with every address that cannot be had and every certificate that cannot be read.
        """
        prepared: list[Listener] = []
        problems: list[object] = []
        for index, config in enumerate(configs):
            try:
                prepared.append(self._running_as(config) or self._make(index, config, base_dir))
            except ConfigError as error:
                problems.extend(error.problems)
        if problems:
            self.discard(prepared)
            raise ConfigError(problems)
        return prepared

    def _running_as(self, config: ListenerConfig) -> Listener | None:
        return next((listener for listener in self._running if listener.config == config), None)

    def _make(self, index: int, config: ListenerConfig, base_dir: Path) -> Listener:
        path: tuple[str | int, ...] = ("listeners", index)
        try:
            bound = self._bind(config)
        except OSError as error:
            expected = "an address that is free and belongs to this machine"
            got = f"{config.bind}: {error.strerror or error}"
            raise config_error([Problem("", None, (*path, "bind"), expected, got)]) from error
        try:
            counts = ListenerCounts(self._metrics, config.name)
            protocol = partial(HttpServerProtocol, self._handle, counts, forwarding=Forwarding.of(config))
            return Listener(config, bound, protocol, base_dir)
        except OSError as error:  # ssl.SSLError is one
            bound.close()
            expected = "files with a certificate and its key, in PEM"
            raise config_error([Problem("", None, (*path, "tls"), expected, str(error))]) from error

    def _bind(self, config: ListenerConfig) -> socket.socket:
        for listener in self._running:
            if listener.config.bind == config.bind and listener.config.name == config.name:
                return listener.share()
        bind = config.bind
        if not bind.path and not bind.port:
            bind = replace(bind, port=self._ports.get(config.name, 0))
        return bind_socket(bind, reuse_port=self._reuse_port)

    def commit(self, prepared: Sequence[Listener], *, grace_s: float = 30.0) -> None:
        """Serve the prepared listeners; those that are no longer among them drain."""
        for listener in prepared:
            if listener not in self._running:
                listener.open()
                self._running[listener] = self._tasks.spawn(listener.serve(), name=f"listener {listener.bound.name}")
        for listener in [each for each in self._running if each not in prepared]:
            draining = listener.drain(self._running.pop(listener), grace_s)
            task = self._tasks.spawn(draining, name=f"drain of listener {listener.bound.name}")
            self._draining.add(task)
            task.add_done_callback(self._draining.discard)

    def discard(self, prepared: Sequence[Listener]) -> None:
        """Give up prepared listeners that do not run."""
        for listener in prepared:
            if listener not in self._running:
                listener.discard()

    async def close(self, grace_s: float) -> None:
        """Stop taking connections; running requests have `grace_s` seconds to finish, then they are cut off."""
        self.commit([], grace_s=grace_s)
        if self._draining:
            await asyncio.wait(self._draining, timeout=grace_s + _ABORT_S)
        await self._tasks.close()

    @property
    def bound(self) -> list[Bound]:
        """The listeners that run, in no special order."""
        return [listener.bound for listener in self._running]
