"""`SideWork`: long computations in the event loop, a step in each of its turns; what is computed goes elsewhere."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from time import perf_counter
from typing import Any, TypeVar

T = TypeVar("T")

SHARE = 0.1
"""The steps of a turn take no more than so much of what all else took since the last ones, unless it is one step."""


class SideWork:
    """Computes beside traffic: one step in a turn of the event loop, however many computations are under way.

    They take turns, so that twenty services whose tables are due delay a request no more than one does. In a process
    that has much to do there are more steps in a turn: turns of 20 ms with one step in each would take a minute for
    the tables of fifty services. There is one for each event loop.
    """

    __slots__ = ("_busy", "_left_s", "_now", "_works")

    def __init__(self, now: Callable[[], float] = perf_counter) -> None:
        self._now = now
        self._left_s = 0.0
        self._busy = False
        self._works: deque[tuple[Generator[None, None, Any], asyncio.Future[Any]]] = deque()

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Return what the generator does; it yields after each step, half a millisecond of work at most.

        Whatever it raises is raised here. Of one that is cancelled no further step is done.
        """
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._works.append((steps, result))
        if not self._busy:
            self._busy = True
            self._left_s = self._now()
            loop.call_soon(self._turn, loop)
        try:
            return await result
        finally:
            del result  # it has the exception, whose traceback has this frame

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Do what this turn of the loop has time for, and go on in the next one."""
        now = self._now()
        until = now + SHARE * (now - self._left_s)
        while self._works:
            self._step(*self._works.popleft())
            if self._now() >= until:
                break
        self._left_s = self._now()
        self._busy = bool(self._works)
        if self._busy:
            loop.call_soon(self._turn, loop)

    def _step(self, steps: Generator[None, None, Any], result: asyncio.Future[Any]) -> None:
        if result.done():
            return  # whoever wanted it has been cancelled
        try:
            next(steps)
        except StopIteration as done:
            result.set_result(done.value)
        except BaseException as error:
            result.set_exception(error)
            del result  # or the traceback would hold it, and it the traceback
        else:
            self._works.append((steps, result))
