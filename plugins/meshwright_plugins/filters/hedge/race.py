"""`Race`: attempts of one request side by side, of which one answers; when there are any is decided elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from meshwright_sdk import CallNext, Endpoint, MeshwrightError, Request, Response, Timer

if TYPE_CHECKING:
    from meshwright_plugins.filters.hedge import Hedge

LOST = "another attempt has answered"
"""The message of the cancellation of an attempt that was slower."""

_SERVER_ERROR = 500

Outcome = Response | BaseException


class Race(Timer):
    """The first attempt, which runs in the request's own task, and the others, which have tasks of their own.

    As a timer it is what happens when the first attempt takes too long. Nothing else is made for a request in time.
    """

    __slots__ = (
        "_call_next",
        "_cancelled",
        "_cancelling",
        "_copies",
        "_hedge",
        "_others",
        "_over",
        "_pending",
        "_request",
        "_task",
        "_waiter",
        "_winner",
    )

    _cancelled: bool
    _copies: list[Request]
    _others: list[asyncio.Task[None]]
    _over: bool
    _pending: int
    _waiter: asyncio.Future[None] | None
    _winner: tuple[Request, Response] | None

    def __init__(self, hedge: Hedge, request: Request, call_next: CallNext, task: asyncio.Task[object]) -> None:
        self._hedge = hedge
        self._request = request
        self._call_next = call_next
        self._task = task
        self._cancelling = task.cancelling()
        self._others = _NOBODY

    @property
    def alone(self) -> bool:
        """Whether the first attempt has always been the only one."""
        return self._others is _NOBODY

    def fire(self) -> None:
        """Ask another endpoint too, if that is allowed."""
        if self._others is _NOBODY:
            self._others, self._copies = [], []
            self._cancelled = self._over = False
            self._pending = 0
            self._waiter = self._winner = None
        if not self._hedge.may_begin(self._request):
            return
        request = self._request.copy()
        request.avoid = self._tried()
        self._copies.append(request)
        self._pending += 1
        self._others.append(self._hedge.context.tasks.spawn(self._attempt(request), name="hedged attempt"))
        if len(self._others) + 1 < self._hedge.options.attempts:
            self._hedge.wait_again(self)

    def _tried(self) -> tuple[Endpoint, ...]:
        """Return what an attempt is to avoid: the endpoints of all that have begun."""
        given = (each.endpoint for each in (self._request, *self._copies))
        return tuple(dict.fromkeys((*self._request.avoid, *(each for each in given if each is not None))))

    async def _attempt(self, request: Request) -> None:
        self._hedge.has_begun()
        try:
            response = await self._call_next(request)
            if self._over or self._winner is not None or _is_failure(response):
                await response.aclose()
            else:
                self._win(request, response)
        except MeshwrightError:
            pass  # that of the first attempt is the one that is told
        finally:
            self._pending -= 1
            if not self._pending and self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)

    def _win(self, request: Request, response: Response) -> None:
        self._winner = (request, response)
        if self._waiter is None:
            self._cancelled = True
            self._task.cancel(LOST)
        elif not self._waiter.done():
            self._waiter.set_result(None)

    async def decide(self, first: Outcome) -> Response:
        """Return the first good answer, now that the first attempt came to `first`; without one, that is what it is.

        Whoever is still on the way is cancelled, and what is dropped is closed. Only for one that is not alone, and has
        been stopped.
        """
        try:
            try:
                if self._cancelled and self._task.uncancel() > self._cancelling:
                    raise first if isinstance(first, asyncio.CancelledError) else asyncio.CancelledError
                if self._winner is None and self._pending and _is_failure(first):
                    self._waiter = asyncio.get_running_loop().create_future()
                    await self._waiter
            except BaseException:  # the client has left, maybe at the same time
                await self._end(first)
                raise
            return await self._taken(first)
        finally:
            del first  # or an error would hold this frame, and this frame the error

    async def _taken(self, first: Outcome) -> Response:
        """Return the answer of the race, or raise what the first attempt did; nobody else goes on."""
        self._cancel_others()
        if self._winner is None:
            self._request.avoid = self._tried()
            if isinstance(first, Response):
                return first
            try:
                raise first
            finally:
                del first
        request, response = self._winner
        self._request.endpoint = request.endpoint
        self._request.identity = request.identity  # a cache around must know that the answer is somebody's own
        self._hedge.has_won()
        if isinstance(first, Response):
            await first.aclose()
        return response

    async def _end(self, first: Outcome) -> None:
        """Give up all of it."""
        self._cancel_others()
        for response in (first, self._winner[1] if self._winner is not None else None):
            if isinstance(response, Response):
                await response.aclose()

    def _cancel_others(self) -> None:
        self._over = True
        others, self._others = self._others, []  # each keeps its cancellation, whose traceback has this: a cycle
        for task in others:
            task.cancel(LOST)


_NOBODY: list[asyncio.Task[None]] = []
"""Stands for the others of a race that has none."""


def _is_failure(outcome: Outcome) -> bool:
    """Return whether another answer may be better; a cancelled request waits for none."""
    return outcome.status >= _SERVER_ERROR if isinstance(outcome, Response) else isinstance(outcome, Exception)
