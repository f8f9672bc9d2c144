"""`Subscriptions`: messages of Redis's channels to whoever listens in this worker; what is sent goes elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from meshwright_plugins.stores.redis.listener import Listener, OnMessage
from meshwright_plugins.stores.redis.resp import pack
from meshwright_plugins.stores.redis.server import Backoff
from meshwright_sdk import Channels, StoreError, Subscription, Tasks

logger = logging.getLogger("meshwright.store.redis")

_PROBE_S = 5.0
"""How often a server is asked whether it is still there."""


class Subscriptions:
    """One connection for all channels, made when somebody listens and made again after it broke.

    Subscriptions do not end when it breaks; what is published meanwhile is lost.
    """

    def __init__(
        self, max_messages: int, connect: Callable[[OnMessage], Awaitable[Listener]], backoff: Backoff
    ) -> None:
        self._channels = Channels(max_messages)
        self._connect = connect
        self._backoff = backoff
        self._listener: Listener | None = None
        self._followed: set[str] = set()
        self._task: asyncio.Task[None] | None = None
        self._is_broken = False

    def subscribe(self, channel: str, tasks: Tasks) -> Subscription:
        """Return a new subscription; it gets what is published once the server has heard of it."""
        subscription = self._channels.subscribe(channel)
        if self._task is None:
            self._task = tasks.spawn(self._listen(), name="redis subscriptions")
        self._follow()
        return subscription

    def close(self) -> None:
        """End every subscription; the task ends with the store's."""
        self._channels.close()

    async def _listen(self) -> None:
        """Keep one connection, until it is cancelled."""
        while True:
            try:
                why = await self._listen_once()
            except StoreError as error:
                why = error.detail
            if not self._is_broken:
                logger.warning("redis subscriptions: broken, messages are lost until they are back: %s", why)
            self._is_broken = True
            await asyncio.sleep(self._backoff.next_s())

    async def _listen_once(self) -> str:
        """Return why the connection ended."""
        self._listener = listener = await self._connect(self._hand_on)
        if self._is_broken:
            logger.info("redis subscriptions: connected again")
        self._is_broken = False
        try:
            self._followed = set()
            self._follow()
            while not listener.lost.done():
                await asyncio.wait([listener.lost], timeout=_PROBE_S)
                if not listener.lost.done():
                    self._backoff.reset()
                    listener.probe()
            return listener.lost.result()
        finally:
            self._listener = None
            listener.drop("the store is closed")

    def _hand_on(self, channel: bytes, message: bytes) -> None:
        if not self._channels.publish(channel.decode(), message):
            self._follow()

    def _follow(self) -> None:
        """Subscribe to what is listened to, and leave what is not any more."""
        if self._listener is None:
            return
        names = self._channels.names()
        if new := names - self._followed:
            self._listener.write(pack(b"SUBSCRIBE", *(name.encode() for name in new)))
        if gone := self._followed - names:
            self._listener.write(pack(b"UNSUBSCRIBE", *(name.encode() for name in gone)))
        self._followed = names
