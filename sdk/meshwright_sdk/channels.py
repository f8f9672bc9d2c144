"""`Channels`: messages from whoever publishes to whoever listens, inside one process; nothing is kept."""

from __future__ import annotations

import asyncio
from collections import deque
from weakref import WeakSet


class Subscription:
    """The messages of one channel from its making on: an async iterator with one reader.

    Beyond `limit` waiting messages the oldest is lost. It ends when it is closed, or its channels are; one that
    nobody refers to any more is forgotten.
    """

    __slots__ = ("__weakref__", "_arrived", "_closed", "_waiting")

    def __init__(self, limit: int) -> None:
        self._waiting: deque[bytes] = deque(maxlen=limit)
        self._arrived = asyncio.Event()
        self._closed = False

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> bytes:
        while not self._waiting:
            if self._closed:
                raise StopAsyncIteration
            self._arrived.clear()
            await self._arrived.wait()
        return self._waiting.popleft()

    def put(self, message: bytes) -> None:
        """Let the reader have `message`; after the end it is dropped."""
        if not self._closed:
            self._waiting.append(message)
            self._arrived.set()

    def close(self) -> None:
        """End the iteration after what is waiting."""
        self._closed = True
        self._arrived.set()

    async def aclose(self) -> None:
        """End the iteration, as an async generator would."""
        self._waiting.clear()
        self.close()


class Channels:
    """Every subscription, by the name of its channel; `limit` is how many messages wait for a slow reader at most."""

    __slots__ = ("_channels", "_limit")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._channels: dict[str, WeakSet[Subscription]] = {}

    def subscribe(self, channel: str) -> Subscription:
        """Return a new subscription, which gets what is published from now on."""
        subscription = Subscription(self._limit)
        self._drop_deserted()
        self._channels.setdefault(channel, WeakSet()).add(subscription)
        return subscription

    def names(self) -> set[str]:
        """Return which channels somebody listens to."""
        self._drop_deserted()
        return set(self._channels)

    def publish(self, channel: str, message: bytes) -> int:
        """Hand `message` to each subscription of `channel`; return how many there are."""
        subscriptions = tuple(self._channels.get(channel, ()))
        for subscription in subscriptions:
            subscription.put(message)
        return len(subscriptions)

    def close(self) -> None:
        """End every subscription."""
        for subscriptions in self._channels.values():
            for subscription in tuple(subscriptions):
                subscription.close()
        self._channels.clear()

    def _drop_deserted(self) -> None:
        for channel in [channel for channel, subscriptions in self._channels.items() if not subscriptions]:
            del self._channels[channel]
