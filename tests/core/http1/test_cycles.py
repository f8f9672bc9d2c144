"""What requests leave behind: nothing may hang on itself, for the garbage collector is kept off for long."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.core.http1.harness import Rig, gateway_to
from tests.core.http1.test_upgrade import ASK, SWITCH
from tests.core.http1.wire import Script, Wire, turns, until

GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n"


def answering(*parts: bytes, then_close: bool = False) -> Script:
    async def play(wire: Wire) -> None:
        while True:
            await wire.head()
            for part in parts:
                await wire.send(part)
                await turns(5)
            if then_close:
                return

    return play


async def asks(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(GET)
    await wire.message()
    wire.close()


async def asks_for_what_is_cut_short(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(GET)
    await wire.ended()


async def leaves_while_it_waits(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(GET)
    await until(lambda: rig.pool["active"] == 1)
    wire.reset()


async def leaves_during_its_upload(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(POST, b"2\r\nok\r\n")
    await until(lambda: rig.pool["active"] == 1)
    wire.reset()


async def leaves_during_its_answer(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(GET)
    await wire.head()
    wire.reset()


async def leaves_its_tunnel(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(ASK)
    await wire.head()
    wire.close()


async def sends_nonsense(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(b"nonsense\r\n\r\n")
    await wire.message()
    wire.close()


async def sends_nonsense_as_content(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(POST, b"zz\r\n")
    await wire.message()
    wire.close()


async def announces_too_much(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 999999999999999\r\n\r\n")
    await wire.message()
    wire.close()


async def waits_too_long(rig: Rig) -> None:
    wire = await rig.client()
    await wire.send(GET)
    await until(lambda: rig.pool["active"] == 1)
    rig.endpoint.pool.sweep(asyncio.get_running_loop().time() + 1000.0)
    await wire.message()
    wire.close()


Visit = Callable[[Rig], Awaitable[None]]
VISITS: dict[str, tuple[Script, Visit]] = {
    "an answer": (answering(OK), asks),
    "a stream": (answering(CHUNKED, b"0\r\n\r\n"), asks),
    "a stream cut short": (answering(CHUNKED, then_close=True), asks_for_what_is_cut_short),
    "no answer": (answering(then_close=True), asks),
    "a bad answer": (answering(b"nonsense\r\n\r\n"), asks),
    "a late answer": (answering(), waits_too_long),
    "a client that leaves": (answering(), leaves_while_it_waits),
    "a client that leaves its upload": (answering(), leaves_during_its_upload),
    "a client that leaves its answer": (answering(CHUNKED), leaves_during_its_answer),
    "a tunnel": (answering(SWITCH), leaves_its_tunnel),
    "nonsense": (answering(), sends_nonsense),
    "nonsense as content": (answering(), sends_nonsense_as_content),
    "too much": (answering(), announces_too_much),
}


@contextmanager
def uncollected() -> Iterator[list[object]]:
    """Yield a list that holds in the end what only the collector would have found."""
    found: list[object] = []
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
        gc.collect()
        found += gc.garbage
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        if was_enabled:
            gc.enable()


@pytest.mark.parametrize("name", VISITS)
async def test_nothing_that_a_request_leaves_needs_the_garbage_collector(name: str) -> None:
    script, visit = VISITS[name]
    async with gateway_to(script) as rig:
        await visit(rig)  # what is made once is made now
        await until(lambda: not rig.server.connections)
        await rig.settled()
        with uncollected() as found:
            await visit(rig)
            await until(lambda: not rig.server.connections)
            await rig.settled()
            rig.begun.clear()
            await turns()
    ours = [type(each).__name__ for each in found if type(each).__module__.startswith("meshwright")]
    assert ours == []
