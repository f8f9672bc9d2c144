"""One server, or the primary that sentinels name: where calls go to, and what becomes of refused ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

from meshwright_plugins.stores.redis.calls import Call, UnawaitedCall
from meshwright_plugins.stores.redis.connection import Connection
from meshwright_plugins.stores.redis.dialing import Dialing
from meshwright_plugins.stores.redis.listener import Listener, OnMessage
from meshwright_plugins.stores.redis.options import Address, RedisSentinel
from meshwright_plugins.stores.redis.resp import Refusal, pack
from meshwright_plugins.stores.redis.scripts import SCRIPTS
from meshwright_plugins.stores.redis.server import Backoff, Server, send_or_fail
from meshwright_sdk import StoreError, Tasks

TRIES = 4
"""How often one call is sent at most, when servers ask for the script or name another server."""

# A server that says this takes no calls, or no writes, now: it is left, and the next connection may lead elsewhere.
_USELESS = frozenset({"READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "WRONGPASS"})


class Topology(Protocol):
    """Where calls go to."""

    async def start(self, tasks: Tasks) -> None:
        """Begin to connect; returns when the first attempt is over, however it ended."""

    def send(self, call: Call) -> None:
        """Send `call` to the server of its key; raises StoreError."""

    def servers(self) -> Iterable[Server]:
        """Return the servers that calls go to."""

    async def listen(self, on_message: OnMessage) -> Listener:
        """Return a connection to a server that passes messages on; raises StoreError."""


def settle(connection: Connection, call: Call, refusal: Refusal) -> None:
    """Do what a refusal asks for: load the scripts, leave the server, or tell the caller."""
    if refusal.code == "NOSCRIPT" and call.tries < TRIES:
        call.tries += 1
        for script in SCRIPTS:
            send_or_fail(connection.send, UnawaitedCall(script.load))
        send_or_fail(connection.send, call)
        return
    call.refuse(refusal)
    if refusal.code in _USELESS:
        connection.drop(str(refusal))


class _OneServer(ABC):
    """All calls go to one server, wherever that is at the moment."""

    def __init__(self, name: str, dialing: Dialing, backoff: Backoff, *, wants_primary: bool) -> None:
        self._dialing = dialing
        self._wants_primary = wants_primary
        self._server = Server(name, self._connect, backoff)
        self.send = self._server.send

    async def start(self, tasks: Tasks) -> None:
        tasks.spawn(self._server.stay_connected(), name=f"redis {self._server.name}")
        await self._server.was_tried.wait()

    def servers(self) -> Iterable[Server]:
        return (self._server,)

    async def listen(self, on_message: OnMessage) -> Listener:
        return await self._dialing.listen(await self._find(), on_message)

    async def _connect(self) -> Connection:
        return await self._dialing.connect(await self._find(), settle, wants_primary=self._wants_primary)

    @abstractmethod
    async def _find(self) -> Address:
        """Return where the server is now; raises StoreError."""


class Single(_OneServer):
    """The one server of the URL."""

    def __init__(self, dialing: Dialing, backoff: Backoff) -> None:
        super().__init__(str(dialing.options.server), dialing, backoff, wants_primary=False)

    async def _find(self) -> Address:
        return self._dialing.options.server


class SentinelPrimary(_OneServer):
    """The server that the sentinels call the primary; they are asked before each attempt to connect."""

    def __init__(self, dialing: Dialing, backoff: Backoff, sentinel: RedisSentinel) -> None:
        super().__init__(f"primary {sentinel.name}", dialing, backoff, wants_primary=True)
        self._question = pack(b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", sentinel.name.encode())
        self._credentials = sentinel.credentials
        self._sentinels = list(sentinel.servers)

    async def _find(self) -> Address:
        """Return what the first sentinel that answers says; that one is asked first the next time."""
        problems = []
        for place, sentinel in enumerate(self._sentinels):
            try:
                reply = await self._dialing.ask(sentinel, self._question, self._credentials)
            except StoreError as error:
                problems.append(error.detail)
                continue
            if reply is None:
                problems.append(f"{sentinel}: it knows no primary of this name")
                continue
            self._sentinels.insert(0, self._sentinels.pop(place))
            return _address(reply, sentinel)
        raise StoreError(f"the sentinels name no primary: {'; '.join(problems)}")


def _address(reply: Any, sentinel: Address) -> Address:
    try:
        host, port = reply
        return Address(host.decode(), int(port))
    except (TypeError, ValueError, AttributeError):
        raise StoreError(f"{sentinel}: it names no address: {reply!r:.100}") from None
