"""How a check says what is wrong: where, what was expected and why, what came; no check goes in here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from meshwright_sdk.plugin import Plugin
from meshwright_sdk.tasks import Tasks

Wait = Callable[[float], Awaitable[None]]
"""Lets so many seconds go by: `asyncio.sleep`, or `advance` of the ManualClock that the plugin was built with."""

PATIENCE_S = 5.0


def claim(where: str, met: bool, expected: str, got: str) -> None:
    """Raise AssertionError unless `met`."""
    if not met:
        raise AssertionError(f"{where}: expected {expected}; got {got}")


@contextmanager
def calling(where: str, expected: str) -> Iterator[None]:
    """Turn whatever the call in the block raises, or its lasting too long, into a failed claim.

    NotImplementedError goes on: it is how a plugin says that its system cannot do something.
    """
    try:
        yield
    except (AssertionError, NotImplementedError):
        raise
    except TimeoutError as error:
        raise AssertionError(f"{where}: expected {expected}; it took more than {PATIENCE_S:g} s") from error
    except Exception as error:
        raise AssertionError(f"{where}: expected {expected}; it raised {error!r}") from error


@contextmanager
def refusing(where: str, why: str) -> Iterator[None]:
    """Claim that the call in the block raises ValueError."""
    try:
        with calling(where, f"a ValueError, as {why}"):
            try:
                yield
            except ValueError:
                return
    except AssertionError:
        raise
    raise AssertionError(f"{where}: expected a ValueError, as {why}; it raised none")


@asynccontextmanager
async def running(plugin: Any) -> AsyncIterator[None]:
    """Start the plugin for the block; close it and end its background work then. Does nothing to a plain function."""
    if not isinstance(plugin, Plugin):
        yield
        return
    try:
        with calling("start()", "it to return"):
            await plugin.start()
        yield
    finally:
        await plugin.close()
        await plugin.context.tasks.close()


def iterator_of(where: str, made: Any) -> AsyncIterator[Any]:
    """Return the async iterator that a method gave; a coroutine shows that it lacks a `yield`."""
    if inspect.iscoroutine(made):
        made.close()
    claim(
        where,
        hasattr(made, "__aiter__"),
        "an async iterator (`async def` with a `yield` in it is one)",
        f"a {type(made).__name__}",
    )
    return aiter(made)


async def next_of(where: str, items: AsyncIterator[Any], expected: str) -> Any:
    """Return the next item; claims that it comes in time."""
    with calling(where, expected):
        async with asyncio.timeout(PATIENCE_S):
            return await anext(items, _END)


async def ends_when_cancelled(where: str, items: AsyncIterator[Any]) -> None:
    """Claim that waiting for the next item can be cancelled."""
    waiting = Tasks().spawn(_drain(items), name=where)
    await asyncio.sleep(0.01)
    waiting.cancel()
    done, _ = await asyncio.wait([waiting], timeout=PATIENCE_S)
    claim(
        where,
        bool(done),
        "it to end when it is cancelled (never swallow CancelledError)",
        f"still running after {PATIENCE_S:g} s",
    )


async def _drain(items: AsyncIterator[Any]) -> None:
    async for _ in items:
        pass


class _End:
    def __repr__(self) -> str:
        return "the end"


_END = _End()
