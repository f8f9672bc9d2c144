"""`Connection`: one connection to a server, on which all calls of a turn of the loop are one round trip."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from hiredis import ProtocolError, Reader

from meshwright_plugins.stores.redis.calls import Call
from meshwright_plugins.stores.redis.resp import Refusal
from meshwright_sdk import Counter, Histogram, StoreError

_UNSENT_BYTES = 16 * 2**20
"""What may wait to be sent; the calls beyond it fail."""
_SECOND_LOOK_S = 0.01
"""A loop that was held up reads what has come meanwhile before a server is blamed."""
_MORE = object()


@dataclass(frozen=True, slots=True)
class Meters:
    """What is counted of every connection of a store."""

    round_trips: Counter
    seconds: Histogram


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a call may take, and how many may wait."""

    timeout_s: float
    max_waiting: int


Refused = Callable[["Connection", Call, Refusal], None]


class Connection(asyncio.Protocol):
    """Sends calls in the order they come, and hands each its reply.

    A server that has not answered within the timeout is given up, and with it every call: replies have no
    names, so the next call could not be told from the one that is late. `lost` says why, once it is over.
    """

    def __init__(self, host: str, limits: Limits, meters: Meters, refused: Refused) -> None:
        self.host = host
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._meters = meters
        self._refused = refused
        self._reader = Reader(replyError=Refusal, notEnoughData=_MORE)
        self._transport: asyncio.Transport | None = None
        self._is_full = False
        self._queue: list[Call] = []
        self._pending: deque[Call] = deque()
        self._sent: deque[float] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._looked_at = 0.0
        self._reason = ""
        self.lost: asyncio.Future[str] = self._loop.create_future()
        self.has_served = False

    def send(self, call: Call) -> None:
        """Send `call` at the end of this turn; raises StoreError when it cannot be, or too many wait."""
        if self._reason:
            raise StoreError(f"Redis is away: {self._reason}")
        waiting = len(self._pending) + len(self._queue)
        if self._is_full or waiting >= self._limits.max_waiting:
            raise StoreError(f"Too many calls wait for Redis: {waiting}")
        if not self._queue:
            self._loop.call_soon(self._flush)
        self._queue.append(call)

    async def ask(self, payload: bytes) -> Any:
        """Send one command and return its reply; raises StoreError."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self.send(Call(b"", payload, future))
        return await future

    def drop(self, reason: str) -> None:
        """Close it, and fail whatever waits; does nothing the second time."""
        if self._reason:
            return
        self._reason = reason
        if self._transport is not None:
            self._transport.abort()
        if self._timer is not None:
            self._timer.cancel()
        calls = [*self._pending, *self._queue]
        self._pending.clear()
        self._queue.clear()
        for call in calls:
            call.fail(StoreError(f"Redis is away: {reason}"))
        if not self.lost.done():
            self.lost.set_result(reason)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_UNSENT_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop(f"the connection broke: {exc}" if exc else "it closed the connection")

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False

    def data_received(self, data: bytes) -> None:
        pending, next_reply = self._pending, self._reader.gets
        try:
            self._reader.feed(data)
            while (reply := next_reply()) is not _MORE:
                if not pending:
                    self.drop("it answers what was not asked")
                    return
                call = pending.popleft()
                if call.sent_s:
                    self._end_round_trip(call)
                if reply.__class__ is Refusal:
                    self._refused(self, call, reply)
                else:
                    call.answer(reply)
        except ProtocolError as error:
            self.drop(f"it does not speak RESP: {error}")

    def _end_round_trip(self, call: Call) -> None:
        self._sent.popleft()
        self._meters.seconds.observe(self._loop.time() - call.sent_s)
        call.sent_s = 0.0
        self.has_served = True

    def _flush(self) -> None:
        calls, self._queue = self._queue, []
        if not calls or self._transport is None:
            return
        now = self._loop.time()
        self._transport.write(b"".join([call.encode() for call in calls]))
        self._pending.extend(calls)
        calls[-1].sent_s = now
        self._sent.append(now)
        self._meters.round_trips.value += 1
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._limits.timeout_s, self._look)

    def _look(self) -> None:
        """Give the server up when its oldest round trip takes too long; one timer serves all calls."""
        self._timer = None
        if not self._sent:
            return
        oldest = self._sent[0]
        due = oldest + self._limits.timeout_s
        if due <= self._loop.time():
            if oldest == self._looked_at:
                self.drop(f"it did not answer within {self._limits.timeout_s:g} s")
                return
            self._looked_at = oldest
            due = self._loop.time() + _SECOND_LOOK_S
        self._timer = self._loop.call_at(due, self._look)
