"""The clients of a soak: each one does one thing after the other, and leaves in the middle of some."""

from __future__ import annotations

import asyncio
import ssl
from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random

from benchmarks.load.streams import UPGRADE
from benchmarks.soak.contents import EVENT, Message, chunk, content, read_head, read_message

LEAVE_SHARE = 0.25
LEAVE_AFTER_S = 0.03
PATIENCE_S = 20.0
ERROR_STATUSES = {502, 504}
"""What the gateway may answer because its upstream broke off."""

EXAMPLES = 5
SIZES = 40


class Wrong(Exception):
    """The gateway gave an answer that it may not give, whoever broke off."""


@dataclass(slots=True)
class Tally:
    """What the visitors saw: how often each thing was begun, and how things ended."""

    begun: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def note_wrong(self, problem: str) -> None:
        self.ended["wrong"] += 1
        if len(self.wrong) < EXAMPLES:
            self.wrong.append(problem)


class Visitors:
    """So many clients at a time, over plain connections and over TLS."""

    def __init__(self, ports: tuple[int, int], random: Random) -> None:
        self.tally = Tally()
        self._random = random
        self._ports = ports
        self._tls = ssl.create_default_context()
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._deeds: tuple[Callable[[StreamReader, StreamWriter], Awaitable[None]], ...] = (
            self._get,
            self._post,
            self._post_chunks,
            self._download,
            self._pipeline,
            self._events,
            self._websocket,
        )

    async def run(self, number: int, seconds: float) -> None:
        """Let so many come and go for so long; all have left when it returns."""
        until_s = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(number):
                group.create_task(self._visit_until(until_s))

    async def _visit_until(self, until_s: float) -> None:
        while asyncio.get_running_loop().time() < until_s:
            deed = self._random.choice(self._deeds)
            name = deed.__name__.strip("_")
            self.tally.begun[name] += 1
            try:
                self.tally.ended[await self._visit(deed)] += 1
            except Wrong as error:
                self.tally.note_wrong(f"{name}: {error}")

    async def _visit(self, deed: Callable[[StreamReader, StreamWriter], Awaitable[None]]) -> str:
        """Do one thing over a new connection, and tell how it ended."""
        secure = self._random.random() < 0.3
        leaves = self._random.random() < LEAVE_SHARE
        patience_s = self._random.expovariate(1 / LEAVE_AFTER_S) if leaves else PATIENCE_S
        writer = None
        try:
            async with asyncio.timeout(patience_s):
                port, tls = self._ports[secure], self._tls if secure else None
                reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls)
                await deed(reader, writer)
                return "whole"
        except TimeoutError:
            if not leaves:
                raise Wrong(f"expected an answer within {PATIENCE_S:g} s; got none") from None
            return "left"
        except (IncompleteReadError, ConnectionError):
            return "broken off"
        finally:
            if writer is not None:
                self._leave(writer)

    def _leave(self, writer: StreamWriter) -> None:
        """End the connection in order, or with a reset."""
        if self._random.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()

    def _size(self, most: int) -> int:
        """One of some sizes: were they all different, what the gateway keeps of paths would fill for minutes."""
        return most * self._random.randint(0, SIZES) // SIZES

    async def _get(self, reader: StreamReader, writer: StreamWriter) -> None:
        for _ in range(self._random.randint(1, 8)):
            await self._exchange(reader, writer, "fixed", self._size(2000))

    async def _download(self, reader: StreamReader, writer: StreamWriter) -> None:
        kind = self._random.choice(("fixed", "chunked"))
        await self._exchange(reader, writer, kind, self._size(1 << 21))

    async def _exchange(self, reader: StreamReader, writer: StreamWriter, kind: str, size: int) -> None:
        writer.write(_head("GET", f"/{kind}/{size}"))
        check(await read_message(reader), content(size))

    async def _post(self, reader: StreamReader, writer: StreamWriter) -> None:
        size = self._random.choice((0, 10, 10_000, 500_000))
        writer.write(_head("POST", "/echo", f"Content-Length: {size}") + content(size))
        await writer.drain()
        check(await read_message(reader), content(size))

    async def _post_chunks(self, reader: StreamReader, writer: StreamWriter) -> None:
        pieces = self._random.randint(0, 12)
        writer.write(_head("POST", "/echo", "Transfer-Encoding: chunked"))
        for _ in range(pieces):
            writer.write(chunk(content(5000)))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")
        check(await read_message(reader), content(5000) * pieces)

    async def _pipeline(self, reader: StreamReader, writer: StreamWriter) -> None:
        sizes = [self._size(3000) for _ in range(self._random.randint(2, 8))]
        writer.write(b"".join(_head("GET", f"/fixed/{size}") for size in sizes))
        for size in sizes:
            check(await read_message(reader), content(size))

    async def _events(self, reader: StreamReader, writer: StreamWriter) -> None:
        number = self._random.randint(1, 60)
        writer.write(_head("GET", f"/events/{number}"))
        check(await read_message(reader), EVENT * number)

    async def _websocket(self, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(UPGRADE.replace(b"/hello", b"/websocket"))
        head = await read_head(reader)
        if head.status in ERROR_STATUSES:
            return
        if head.status != 101:
            raise Wrong(f"expected 101; got {head.start!r}")
        for _ in range(self._random.randint(1, 40)):
            message = content(self._size(4000) + 1)
            writer.write(message)
            if await reader.readexactly(len(message)) != message:
                raise Wrong("expected the echo of a message; got something else")


def check(answer: Message, expected: bytes) -> None:
    """Let pass the whole content, and the gateway's word that its upstream broke off; nothing else."""
    if answer.status in ERROR_STATUSES:
        return
    if answer.status != 200:
        raise Wrong(f"expected 200; got {answer.start!r} {answer.body[:200]!r}")
    if answer.body != expected:
        raise Wrong(f"expected {len(expected)} bytes as agreed; got {len(answer.body)} others, as a whole answer")


def _head(method: str, path: str, *fields: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", *fields, "", "")).encode()
