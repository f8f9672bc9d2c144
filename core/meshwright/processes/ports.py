"""`Ports`: the addresses of the listeners, held for the workers that share them; nothing listens here."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace

from meshwright.config.bind import Bind
from meshwright.config.model import ListenerConfig
from meshwright.config.problems import Problem, config_error
from meshwright.net.sockets import bind_socket
from meshwright.traffic.checked import CheckedConfig


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Held:
    """One address: bound with SO_REUSEPORT and never listening, so that no connection ever comes here.

    While it is held, no stranger of another user can take the port from a worker that is being replaced, and
    a port that the system chose stays the same.
    """

    bind: Bind
    socket: socket.socket

    @property
    def real(self) -> Bind:
        """The address with its real port."""
        return replace(self.bind, port=self.socket.getsockname()[1])


class Ports:
    """Follows the configuration's listeners; a part of `Control` that is prepared before any worker.

    A Unix socket cannot be shared by workers, so there may be one only with a single worker. `numbers` is the
    real port of each listener by its name, of the version in preparation while there is one.
    """

    def __init__(self, *, workers: int) -> None:
        self.numbers: dict[str, int] = {}
        self._workers = workers
        self._held: dict[str, Held] = {}
        self._prepared: dict[int, dict[str, Held]] = {}

    async def prepare(self, config: CheckedConfig, version: int) -> None:
        """Hold the addresses that are new; raises ConfigError with every one that cannot be had."""
        held = self._prepared[version] = {}
        problems: list[Problem] = []
        for index, listener in enumerate(config.loaded.config.listeners):
            try:
                self._hold(listener, held)
            except OSError as error:
                problems.append(config.loaded.located(_problem(index, listener.bind, error)))
        if problems:
            raise config_error(problems)
        self._number(held)

    async def commit(self, version: int) -> None:
        """Let go of the addresses that are no longer used."""
        before, self._held = self._held, self._prepared.pop(version)
        _let_go(before, self._held)

    async def discard(self, version: int) -> None:
        """Let go of the addresses that were new."""
        _let_go(self._prepared.pop(version, {}), self._held)
        self._number(self._held)

    def close(self) -> None:
        """Let go of everything."""
        for held in (self._held, *self._prepared.values()):
            _let_go(held, {})
        self._held, self._prepared = {}, {}

    def _number(self, held: Mapping[str, Held]) -> None:
        """Tell the real ports, in place: whoever was given `numbers` sees them."""
        self.numbers.clear()
        self.numbers.update({name: each.real.port for name, each in held.items()})

    def _hold(self, listener: ListenerConfig, held: dict[str, Held]) -> None:
        bind = listener.bind
        if bind.path:
            if self._workers > 1:
                raise OSError(errno.EOPNOTSUPP, "several workers cannot share it")
            return
        before = self._held.get(listener.name)
        held[listener.name] = before if before and before.bind == bind else self._reserve(bind, held)

    def _reserve(self, bind: Bind, held: Mapping[str, Held]) -> Held:
        ours = {each.real.port for each in (*self._held.values(), *held.values())}
        if bind.port and bind.port not in ours:
            # With SO_REUSEPORT a port that a stranger listens on can be had too, and half of the traffic with it.
            # One that is ours is not asked for: localhost, 127.0.0.1 and 0.0.0.0 are the same one by other names.
            bind_socket(bind, reuse_port=False).close()
        return Held(bind=bind, socket=bind_socket(bind, reuse_port=True))


def _let_go(held: Mapping[str, Held], kept: Mapping[str, Held]) -> None:
    for each in held.values():
        if each not in kept.values():
            each.socket.close()


def _problem(index: int, bind: Bind, error: OSError) -> Problem:
    path = ("listeners", index, "bind")
    if error.errno == errno.EADDRINUSE:
        return Problem("", None, path, "a free address", f"{bind}, which is in use")
    if error.errno == errno.EOPNOTSUPP:
        return Problem("", None, path, "an address with a port, for several workers to share", str(bind))
    return Problem("", None, path, "an address of this machine", f"{bind} ({error.strerror or error})")
