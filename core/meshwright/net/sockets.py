"""Binding the addresses of the configuration: what is bound and by which name; accepting goes elsewhere."""

from __future__ import annotations

import errno
import os
import socket
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshwright.config.bind import Bind

ALIVE_S = 1.0
"""How long a server behind a Unix socket may take to accept; one that does not is alive all the same."""


def bind_socket(bind: Bind, *, reuse_port: bool = False, mode: int | None = None) -> socket.socket:
    """Return a bound socket that does not listen yet.

    With `reuse_port` several processes share the address (SO_REUSEPORT). `mode` is the permissions of a Unix
    socket's file, in place of what the umask leaves. Raises OSError.
    """
    if bind.path:
        return _bind_unix(bind.path, mode)
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


def _bind_unix(path: str, mode: int | None) -> socket.socket:
    _remove_stale(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        if mode is not None:
            os.chmod(path, mode)  # nobody can connect before it listens
    except OSError:
        bound.close()
        raise
    return bound


def _remove_stale(path: str) -> None:
    """Remove a socket that a dead server has left; raises OSError for one that is in use."""
    if not is_socket(path):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ALIVE_S)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except TimeoutError:
            pass  # its queue is full
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def is_socket(path: str) -> bool:
    """Return whether the file is there and is a socket."""
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def inode_of(path: str) -> tuple[int, int] | None:
    """Return what tells this file from another that takes its name, or None when there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


@dataclass(frozen=True, slots=True)
class SocketFile:
    """The file that a bound Unix socket made, told from another one that takes its name later."""

    path: str
    inode: tuple[int, int] | None

    @classmethod
    def of(cls, bound: socket.socket) -> SocketFile | None:
        """Return the file of a socket that was just bound, or None for one with a port."""
        name = bound.getsockname()
        return cls(name, inode_of(name)) if isinstance(name, str) else None

    @property
    def is_there(self) -> bool:
        """Whether the file has its name still."""
        return self.inode is not None and inode_of(self.path) == self.inode

    def remove(self) -> None:
        """Remove the file, unless another server took the name."""
        if self.is_there:
            os.unlink(self.path)


def address_of(bound: socket.socket) -> str:
    """Return the address of a bound socket as the YAML would write it."""
    name = bound.getsockname()
    if isinstance(name, str):
        return f"unix:{name}"
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"
