"""`Listeners`: every listener of one worker, following the configuration; what a connection does goes elsewhere."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from meshwright.config.problems import KeyPath, Problem, config_error
from meshwright.http1.server import Handle
from meshwright.net.server_tls import ServerTls
from meshwright.net.sockets import SocketFile, bind_socket
from meshwright.processes.certificates import Certificates
from meshwright.processes.listener import ABORT_S, IDLE_GRACE_S, Bound, Listener
from meshwright_sdk.errors import ConfigError
from meshwright_sdk.metrics import Metrics
from meshwright_sdk.tasks import Tasks

if TYPE_CHECKING:
    from meshwright.config.model import ListenerConfig

_SWEEP_S = 0.5


@dataclass(frozen=True, slots=True)
class PreparedListener:
    """A listener, running or not yet, and what it serves by from the commit on."""

    listener: Listener
    config: ListenerConfig
    tls: ServerTls | None


class Listeners:
    """A reload keeps the listeners whose address stays, and their connections where TLS stays too.

    `ports` gives the port of a listener that asks for port 0, by name, so that workers share it; `worker` is the
    name of this one in metrics.
    """

    def __init__(
        self,
        handle: Handle,
        metrics: Metrics,
        *,
        worker: str = "0",
        reuse_port: bool = False,
        ports: Mapping[str, int] | None = None,
    ) -> None:
        self._handle = handle
        self._metrics = metrics
        self._reuse_port = reuse_port
        self._ports = ports if ports is not None else {}
        self._certificates = Certificates(metrics, worker)
        self._running: list[Listener] = []
        self._draining: dict[Listener, asyncio.Task[None]] = {}
        self._files: dict[str, SocketFile] = {}
        self._tasks = Tasks()

    def prepare(self, configs: Sequence[ListenerConfig], base_dir: Path) -> list[PreparedListener]:
        """Bind what is new, and return the listeners of the configuration, running ones included.

        Raises ConfigError with every address that cannot be had and every certificate that cannot be read.
        """
        prepared: list[PreparedListener] = []
        problems: list[object] = []
        for index, config in enumerate(configs):
            try:
                prepared.append(self._prepare(("listeners", index), config, base_dir))
            except ConfigError as error:
                problems.extend(error.problems)
        if problems:
            self.discard(prepared)
            raise ConfigError(problems)
        return prepared

    def _prepare(self, path: KeyPath, config: ListenerConfig, base_dir: Path) -> PreparedListener:
        running = self._running_at(config)
        tls = _tls(path, config, running, base_dir)
        if running is not None and running.config.tls == config.tls:
            return PreparedListener(running, config, tls)
        bound = running.share() if running is not None else self._bind(path, config)
        return PreparedListener(Listener(config, tls, bound, self._handle, self._metrics), config, tls)

    def _running_at(self, config: ListenerConfig) -> Listener | None:
        """Return the listener with the same address; where the system chooses the port, the name tells."""
        bind = config.bind
        same = (listener for listener in self._running if listener.config.bind == bind)
        if bind.path or bind.port:
            return next(same, None)
        return next((listener for listener in same if listener.config.name == config.name), None)

    def _bind(self, path: KeyPath, config: ListenerConfig) -> socket.socket:
        bind = config.bind
        if not bind.path and not bind.port:
            bind = replace(bind, port=self._ports.get(config.name, 0))
        mode = None if config.mode is None else int(config.mode, 8)
        try:
            bound = bind_socket(bind, reuse_port=self._reuse_port, mode=mode)
        except OSError as error:
            expected = "an address that is free and belongs to this machine"
            got = f"{config.bind}: {error.strerror or error}"
            raise config_error([Problem("", None, (*path, "bind"), expected, got)]) from error
        file = SocketFile.of(bound)
        if file is not None:
            self._files[file.path] = file
        return bound

    def commit(self, prepared: Sequence[PreparedListener], *, grace_s: float = 30.0) -> None:
        """Serve the prepared listeners. Those that are no longer among them let their connections end."""
        self._serve(prepared)
        for listener in self._take_out({each.listener for each in prepared}):
            self._drain(listener, grace_s, IDLE_GRACE_S)

    def _serve(self, prepared: Sequence[PreparedListener]) -> None:
        if not self._tasks:
            self._tasks.spawn(self._sweep(), name="sweep of connections")
            self._tasks.spawn(self._certificates.watch(), name="watch of certificates")
        for each in prepared:
            if each.listener in self._running:
                each.listener.change(each.config, each.tls)
            else:
                each.listener.open()
                self._running.append(each.listener)
            self._set_mode(each.config)
        self._certificates.follow({each.config.name: each.tls for each in prepared if each.tls is not None})

    def _set_mode(self, config: ListenerConfig) -> None:
        """Give the file of a Unix socket its permissions, which a reload may have changed."""
        path = config.bind.path
        if config.mode is not None and path in self._files and self._files[path].is_there:
            os.chmod(path, int(config.mode, 8))

    def _take_out(self, kept: set[Listener]) -> list[Listener]:
        gone = [listener for listener in self._running if listener not in kept]
        self._running = [listener for listener in self._running if listener in kept]
        return gone

    def _drain(self, listener: Listener, grace_s: float, idle_s: float) -> None:
        listener.close(grace_s, idle_s=idle_s)
        name = f"drain of listener {listener.config.name}"
        task = self._draining[listener] = self._tasks.spawn(listener.drained(), name=name)
        task.add_done_callback(lambda _: self._draining.pop(listener))
        self._remove_files()

    def discard(self, prepared: Sequence[PreparedListener]) -> None:
        """Give up prepared listeners that do not run."""
        for each in prepared:
            if each.listener not in self._running:
                each.listener.discard()
        self._remove_files()

    def _remove_files(self) -> None:
        """Remove the files of Unix sockets that nobody listens on any more, unless another server took the name."""
        used = {listener.config.bind.path for listener in self._running}
        for path in [path for path in self._files if path not in used]:
            self._files.pop(path).remove()

    async def close(self, grace_s: float) -> None:
        """Stop taking connections; running requests have `grace_s` seconds to finish, then they are cut off."""
        for listener in self._draining:
            listener.close(grace_s)
        for listener in self._take_out(set()):
            self._drain(listener, grace_s, 0.0)
        if self._draining:
            await asyncio.wait(self._draining.values(), timeout=grace_s + ABORT_S)
        await self._tasks.close()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = loop.time()
            for listener in (*self._running, *self._draining):
                listener.sweep(now)

    @property
    def bound(self) -> list[Bound]:
        """The listeners that run, in no special order."""
        return [listener.bound for listener in self._running]


def _tls(path: KeyPath, config: ListenerConfig, running: Listener | None, base_dir: Path) -> ServerTls | None:
    """Return the TLS of a listener, the running one's as long as neither its options nor its files have changed."""
    if config.tls is None:
        return None
    before = running.tls if running is not None else None
    if before is not None and before.config == config.tls and before.is_current():
        return before
    try:
        return ServerTls(config.tls, base_dir)
    except (OSError, ValueError) as error:
        expected = "files with a certificate and its key, in PEM"
        raise config_error([Problem("", None, (*path, "tls"), expected, str(error))]) from error
