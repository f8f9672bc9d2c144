"""`ServerState`: what the connections of one listener have in common; what they count is in `counts`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshwright.http1.server import HttpServerProtocol


class ServerState:
    """The open connections, and the work they left behind that a stop has to wait for.

    `retiring`: the listener takes no more; a connection whose TLS handshake ends after that has one request.
    """

    __slots__ = ("connections", "retiring", "tasks")

    def __init__(self) -> None:
        self.connections: set[HttpServerProtocol] = set()
        self.retiring = False
        self.tasks: set[asyncio.Task[None]] = set()
