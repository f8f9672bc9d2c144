"""Heavy work beside traffic: in a thread, or in the event loop in slices; what the work is goes elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import ParamSpec, TypeVar

SLICE_S = 0.002
"""How long work in the event loop goes on before everything else gets a turn."""
SWITCH_S = 0.0002
"""How soon a thread gives way while one works in here."""
_FREED_AT_ONCE = 20

P = ParamSpec("P")
T = TypeVar("T")


class Slices:
    """Cuts work in the event loop into slices: `await slices.turn()` after each small step of it.

    It is for building one version at a time and freeing another. What many may compute at once is for `SideWork`, which
    does one step in a turn of the loop.
    """

    def __init__(self, slice_s: float = SLICE_S) -> None:
        self._slice_s = slice_s
        self._until = perf_counter() + slice_s

    async def turn(self) -> None:
        """Give everything else a turn once the slice is used up."""
        if perf_counter() >= self._until:
            await asyncio.sleep(0)
            self._until = perf_counter() + self._slice_s


async def free(pieces: list[object], after_s: float, slices: Slices | None = None) -> None:
    """Free what only this list holds, in slices; Python frees what hangs on one reference in one go.

    `after_s` is the time that others have to let go of what holds the pieces.
    """
    await asyncio.sleep(after_s)
    slices = slices or Slices()
    while pieces:
        del pieces[-_FREED_AT_ONCE:]
        await slices.turn()


async def in_thread(work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Do work that never waits in a thread, and return its result; the loop goes on at about half its speed.

    When the caller is cancelled, the work goes on and what comes of it is dropped. What an event loop or coroutine
    would take for its own, such as SystemExit, is raised as a RuntimeError.
    """
    return await asyncio.to_thread(_giving_way, lambda: work(*args, **kwargs))


def _giving_way(work: Callable[[], T]) -> T:
    try:
        with _switching.often():
            return work()
    except BaseException as error:
        if isinstance(error, Exception) and not isinstance(error, StopIteration):
            raise
        raise RuntimeError(f"it raised {type(error).__name__}") from error


class _Switching:
    """The interval at which threads give way, shortened as long as somebody wants it so."""

    def __init__(self) -> None:
        self._users = 0
        self._before = 0.0

    @contextmanager
    def often(self) -> Iterator[None]:
        if self._users == 0:
            self._before = sys.getswitchinterval()
            sys.setswitchinterval(SWITCH_S)
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if self._users == 0:
                sys.setswitchinterval(self._before)


_switching = _Switching()
