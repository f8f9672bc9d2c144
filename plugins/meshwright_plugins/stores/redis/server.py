"""`Server`: one place to send calls to, which is connected to again and again; what it is a part of goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from random import Random

from meshwright_plugins.stores.redis.calls import Call
from meshwright_plugins.stores.redis.connection import Connection
from meshwright_sdk import StoreError

logger = logging.getLogger("meshwright.store.redis")

_FIRST_PAUSE_S = 0.05
_CLOSED = "the store is closed"


class Backoff:
    """Pauses between attempts: from nothing to a bound that doubles, so that gateways do not come back as one."""

    __slots__ = ("_attempts", "_longest_s", "_random")

    def __init__(self, longest_s: float, random: Random) -> None:
        self._longest_s = longest_s
        self._random = random
        self._attempts = 0

    def next_s(self) -> float:
        """Return how long to wait before the next attempt."""
        bound_s = min(self._longest_s, _FIRST_PAUSE_S * 2 ** min(self._attempts, 30))
        self._attempts += 1
        return self._random.uniform(0.0, bound_s)

    def reset(self) -> None:
        """Begin with the short pauses again."""
        self._attempts = 0


class Server:
    """Keeps one connection to what `connect` reaches, and fails calls at once while there is none.

    Calls that come before the first attempt is over wait for it.
    """

    def __init__(self, name: str, connect: Callable[[], Awaitable[Connection]], backoff: Backoff) -> None:
        self.name = name
        self.was_tried = asyncio.Event()
        self.on_lost: Callable[[], None] = _nothing
        self._connect = connect
        self._backoff = backoff
        self._connection: Connection | None = None
        self._early: list[Call] = []
        self._why = "it was not connected yet"

    @property
    def is_connected(self) -> bool:
        """Whether calls are sent at this moment."""
        return self._connection is not None

    @property
    def state(self) -> str:
        """What there is to say about it: `connected`, or why it is away."""
        return "connected" if self._connection is not None else f"away: {self._why}"

    def send(self, call: Call) -> None:
        """Send `call`; raises StoreError when there is no connection."""
        if self._connection is not None:
            self._connection.send(call)
        elif self.was_tried.is_set() or len(self._early) >= 1_000:
            raise StoreError(f"Redis is away: {self._why}")
        else:
            self._early.append(call)

    async def stay_connected(self) -> None:
        """Connect, wait for the end, pause, and again, until it is cancelled."""
        try:
            while True:
                await self._connect_once()
                await asyncio.sleep(self._backoff.next_s())
        finally:
            self._end(_CLOSED)

    async def _connect_once(self) -> None:
        try:
            self._connection = connection = await self._connect()
        except StoreError as error:
            self._end(error.detail)
            return
        self._begin()
        reason = await asyncio.shield(connection.lost)
        if connection.has_served:
            self._backoff.reset()
        self._end(reason)

    def _begin(self) -> None:
        if self._why:
            logger.info("redis %s: connected", self.name)
        self._why = ""
        self.was_tried.set()
        early, self._early = self._early, []
        for call in early:
            send_or_fail(self.send, call)

    def _end(self, why: str) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop(why)
        if why != _CLOSED and (not self._why or not self.was_tried.is_set()):
            logger.warning("redis %s: away, calls fail until it is back: %s", self.name, why)
        self._why = why
        self.was_tried.set()
        early, self._early = self._early, []
        for call in early:
            call.fail(StoreError(f"Redis is away: {why}"))
        self.on_lost()


def send_or_fail(send: Callable[[Call], None], call: Call) -> None:
    """Send `call`; what prevents it is raised at who waits for it."""
    try:
        send(call)
    except StoreError as error:
        call.fail(error)


def _nothing() -> None:
    pass
