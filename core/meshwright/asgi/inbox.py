"""`Inbox` and `Watch`: an ASGI client that leaves while its request is being answered; nothing is answered here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meshwright_sdk.asgi import Message, Receive
from meshwright_sdk.tasks import Tasks

INTERVAL_S = 0.05
"""A request that was there at two looks, this far apart, is listened to; most are answered before."""

_DISCONNECT = frozenset(("http.disconnect", "websocket.disconnect"))


class Inbox:
    """The messages of one ASGI connection, and the client's leaving while nobody reads them.

    An ASGI server tells that a client left only to a waiting `receive`, which takes a task. So `Watch` has
    `listen` called for the few requests that take their time; it reads one message ahead and no more.
    """

    __slots__ = ("_ahead", "_listener", "_on_leave", "_reading", "_receive", "_watch", "gone", "without_body")

    def __init__(self, receive: Receive, watch: Watch) -> None:
        self._receive = receive
        self._watch = watch
        self._on_leave: Callable[[], object] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._ahead: Message | None = None
        self._reading = False
        self.gone = False
        self.without_body = False
        """Set it for a request that has no content: the message that says so is then no news."""

    def watch(self, on_leave: Callable[[], object]) -> None:
        """Call `on_leave` once when the client leaves, from now until `finish`."""
        self._on_leave = on_leave
        self._watch.add(self)

    async def receive(self) -> Message:
        """Return the next message; to be called by one reader at a time."""
        if self._listener is not None:
            await asyncio.wait({self._listener})
            self._listener = None
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            if self._on_leave is not None:
                self._watch.add(self)
            return ahead
        self._reading = True
        try:
            return await self._receive()
        finally:
            self._reading = False

    def listen(self, tasks: Tasks) -> bool:
        """Wait for the next message in the background; False if a reader is waiting for it, who will see it."""
        if self._reading:
            return False
        if self._listener is None and self._ahead is None:
            self._listener = tasks.spawn(self._listen(), name="asgi departure")
        return True

    async def _listen(self) -> None:
        message = await self._receive()
        while self.without_body and message["type"] == "http.request":
            message = await self._receive()
        self._ahead = message
        if message["type"] in _DISCONNECT and self._on_leave is not None:
            self.gone = True
            self._on_leave()

    def finish(self) -> None:
        """Take no more notice of the client's leaving: the answer is complete, and servers then say so too."""
        self._on_leave = None

    def close(self) -> None:
        """Stop listening; nothing is received any more."""
        self._on_leave = None
        self._watch.discard(self)
        if self._listener is not None:
            self._listener.cancel()


class Watch:
    """Finds the requests that take their time, at the cost of two set operations for all the others."""

    __slots__ = ("_aged", "_fresh", "_interval_s", "_tasks", "_timer")

    def __init__(self, tasks: Tasks, *, interval_s: float = INTERVAL_S) -> None:
        self._tasks = tasks
        self._interval_s = interval_s
        self._fresh: set[Inbox] = set()
        self._aged: set[Inbox] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, inbox: Inbox) -> None:
        """Have the inbox listen if it is still here after one to two intervals."""
        self._fresh.add(inbox)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._look)

    def discard(self, inbox: Inbox) -> None:
        """Forget the inbox."""
        self._fresh.discard(inbox)
        self._aged.discard(inbox)

    def _look(self) -> None:
        busy = {inbox for inbox in self._aged if not inbox.listen(self._tasks)}
        self._aged = self._fresh | busy
        self._fresh = set()
        self._timer = None
        if self._aged:
            self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._look)

    def close(self) -> None:
        """Stop looking."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
