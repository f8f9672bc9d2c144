"""`SideWork`: long computations in the event loop, a step in each of its turns; what is computed goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


class SideWork:
    """Computes beside traffic: one step in a turn of the event loop, however many computations are under way.

    They take turns, so that twenty services whose tables are due delay a request no more than one does. There is one
    for each event loop.
    """

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, steps: Generator[None, None, T]) -> T:
        """Return what the generator does; it yields after each step, half a millisecond of work at most.

        Whatever it raises is raised here. Of one that is cancelled no further step is done.
        """
        try:
            while True:
                async with self._turn:
                    next(steps)
                    await asyncio.sleep(0)  # and keep it until the next turn
        except StopIteration as done:
            result: T = done.value
            return result
