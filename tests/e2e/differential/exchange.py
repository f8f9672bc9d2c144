"""One connection's bytes through a gateway in this process: what it made of them, and what it sent on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from tests.core.http1.corpus.case import CANARY, CANARY_SEEN, Seen
from tests.core.http1.corpus.strict import StrictReader
from tests.core.http1.harness import Rig, gateway_to
from tests.core.http1.wire import WAIT_S, Script, Wire, turns
from tests.e2e.differential.view import View

QUIET_TURNS = 1000
"""A gateway that has answered everything and did nothing in so many turns of the loop waits for more bytes."""


@dataclass(slots=True)
class Sent:
    """What one connection of the gateway to its upstream carried: the bytes, and the requests they are."""

    data: bytes
    requests: list[Seen]
    complete: bool


@dataclass(slots=True)
class Passed:
    """What came of a client's bytes: the gateway's own view, and what it sent on each connection."""

    meant: list[Seen]
    upgrades: bool
    sent: list[Sent]


class _Tap:
    """A script that keeps the bytes on their way to another script."""

    def __init__(self, script: Script) -> None:
        self.connections: list[tuple[bytearray, StrictReader]] = []
        self._script = script

    async def __call__(self, wire: Wire) -> None:
        data, reader = bytearray(), StrictReader()
        self.connections.append((data, reader))
        inner = asyncio.StreamReader()
        other = asyncio.get_running_loop().create_task(self._play(Wire(inner, wire.writer)))
        try:
            while read := await wire.reader.read(65536):
                data += read
                reader.feed(read)
                inner.feed_data(read)
        finally:
            inner.feed_eof()
            await asyncio.wait({other})

    async def _play(self, wire: Wire) -> None:
        await self._script(wire)


async def passed(client: bytes, script: Script, *, cut: int = 0) -> Passed:
    """Send a client's bytes and a canary through a gateway in front of `script`, in two pieces if `cut` says where."""
    view, tap = View(), _Tap(script)
    async with gateway_to(tap, view) as rig:
        wire = await rig.client()
        closed = asyncio.get_running_loop().create_task(_read_on(wire))
        data = client + CANARY
        with suppress(ConnectionError):
            for piece in (data[:cut], data[cut:]):
                await wire.send(piece)
                await turns(40 if cut else 0)
        await _until_settled(closed, view, rig)
        wire.close()
        await closed
        await rig.settled()
    sent = [Sent(bytes(data), reader.requests, not reader.rest) for data, reader in tap.connections]
    return Passed(view.requests, view.upgrades, sent)


async def _read_on(wire: Wire) -> None:
    with suppress(ConnectionError):
        await wire.rest()


async def _until_settled(closed: asyncio.Task[None], view: View, rig: Rig) -> None:
    """Return when the connection is closed, or the canary answered, or the gateway waits for the rest of a request."""
    quiet = 0
    async with asyncio.timeout(WAIT_S):
        while not closed.done() and quiet < QUIET_TURNS:
            await asyncio.sleep(0)
            in_progress = len(rig.begun) - len(rig.ended)
            if not in_progress and view.requests[-1:] == [CANARY_SEEN]:
                return
            quiet = quiet + 1 if in_progress <= view.unfinished else 0
