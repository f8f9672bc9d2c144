from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from meshwright.net.tls_front import TlsFront
from tests.certificates import trusting, write_certificate
from tests.core.http1.wire import turns, until


class Echo(asyncio.Protocol):
    """Sends back what comes, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.received = b""
        self.answering = True
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.answering:
            self.transport.write(data)

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def eof_received(self) -> bool:
        self.told.append("eof")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.lost.append(exc)


class Server:
    """A socket whose connections are all `TlsFront`s."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.port = 0
        self.apps: list[Echo] = []
        self.fronts: list[TlsFront] = []
        self.clients: list[asyncio.StreamWriter] = []

    def protocol(self) -> TlsFront:
        self.apps.append(Echo())
        self.fronts.append(TlsFront(self.context, self.apps[-1]))
        return self.fronts[-1]

    async def connect(self, context: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=context or trusting(), server_hostname="localhost"
        )
        self.clients.append(writer)
        return reader, writer


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(*write_certificate(tmp_path, "localhost"))
    return made


@pytest.fixture
def serving(context: ssl.SSLContext) -> Callable[[], object]:
    @asynccontextmanager
    async def run() -> AsyncIterator[Server]:
        server = Server(context)
        listener = await asyncio.get_running_loop().create_server(server.protocol, "127.0.0.1", 0)
        server.port = listener.sockets[0].getsockname()[1]
        try:
            yield server
        finally:
            listener.close()
            for front, app in zip(server.fronts, server.apps, strict=True):
                if "lost" not in app.told and "made" in app.told:
                    front.abort()
            for client in server.clients:
                client.transport.abort()
            await turns()

    return run


Serving = Callable[[], "object"]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_what_is_sent_comes_back_and_both_learn_of_the_end(serving: Serving, version: ssl.TLSVersion) -> None:
    client = trusting()
    client.maximum_version = version
    async with serving() as server:  # type: ignore[attr-defined]
        reader, writer = await server.connect(client)
        sent = bytes(range(256)) * 4096
        reading = asyncio.gather(reader.readexactly(len(sent)))
        for place in range(0, len(sent), 100_000):
            writer.write(sent[place : place + 100_000])
            await writer.drain()
        (echoed,) = await asyncio.wait_for(reading, 10)
        assert echoed == sent
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        (app,) = server.apps
        await until(lambda: "lost" in app.told)
    assert [each for each in app.told if each not in ("pause", "resume")] == ["made", "eof", "lost"]


async def test_a_close_tells_the_client_that_all_was_sent(serving: Serving) -> None:
    async with serving() as server:  # type: ignore[attr-defined]
        reader, writer = await server.connect()
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"
        (app,) = server.apps
        app.transport.write(b"last")
        app.transport.close()
        app.transport.write(b"too late")
        assert app.transport.is_closing()
        assert await reader.read() == b"last"  # a cut-off end would raise
        writer.close()


async def test_a_slow_reader_stops_whoever_writes(serving: Serving) -> None:
    async with serving() as server:  # type: ignore[attr-defined]
        reader, writer = await server.connect()
        writer.write(b"x")
        await reader.readexactly(1)
        (app,) = server.apps
        size = 0
        while "pause" not in app.told:
            app.transport.write(bytes(2**18))
            size += 2**18
            await turns(2)
        assert app.transport.get_write_buffer_size() > 0
        assert len(await reader.readexactly(size)) == size
        await until(lambda: "resume" in app.told)
        writer.close()


async def test_a_protocol_that_pauses_gets_nothing_until_it_resumes(serving: Serving) -> None:
    async with serving() as server:  # type: ignore[attr-defined]
        reader, writer = await server.connect()
        writer.write(b"x")
        await reader.readexactly(1)
        (app,) = server.apps
        app.transport.pause_reading()
        writer.write(b"later")
        await turns(50)
        assert app.received == b"x"
        app.transport.resume_reading()
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"later"
        writer.close()


class Raw(asyncio.Transport):
    """The transport of a socket that is not there."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.ended = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)


class Line:
    """A client in memory and the front it speaks to, byte by byte."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = trusting().wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        self.app, self.raw = Echo(), Raw()
        self.front = TlsFront(context, self.app)
        self.front.connection_made(self.raw)

    def pump(self) -> None:
        for byte in self.outgoing.read():
            self.front.data_received(bytes((byte,)))
        self.incoming.write(b"".join(self.raw.written))
        self.raw.written.clear()

    def shake_hands(self) -> None:
        for _ in range(4):
            with suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self.pump()


async def test_where_the_bytes_are_cut_changes_nothing(context: ssl.SSLContext) -> None:
    line = Line(context)
    line.shake_hands()
    await line.front.ready
    line.client.write(b"hello " * 100)
    line.pump()
    assert line.client.read(1000) == b"hello " * 100
    assert line.app.told == ["made"]
    assert line.front.get_extra_info("sslcontext") is context


async def test_what_follows_the_handshake_in_one_read_is_handed_on(context: ssl.SSLContext) -> None:
    line = Line(context)
    with suppress(ssl.SSLWantReadError):
        line.client.do_handshake()
    line.pump()
    line.client.do_handshake()
    line.client.write(b"a")
    line.client.write(b"b")
    line.front.data_received(line.outgoing.read())
    assert line.app.received == b"ab"


async def test_a_record_that_was_tampered_with_ends_the_connection(context: ssl.SSLContext) -> None:
    line = Line(context)
    line.shake_hands()
    line.client.write(b"hello")
    data = line.outgoing.read()
    line.front.data_received(data[:-1] + bytes((data[-1] ^ 1,)))
    assert (line.raw.ended, line.app.received) == ("aborted", b"")


async def test_what_is_no_handshake_is_refused_with_an_alert(context: ssl.SSLContext) -> None:
    line = Line(context)
    line.front.data_received(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        await line.front.ready
    assert (line.raw.ended, line.app.told) == ("closed", [])


async def test_a_client_that_leaves_during_the_handshake_leaves_nothing(context: ssl.SSLContext) -> None:
    line = Line(context)
    with suppress(ssl.SSLWantReadError):
        line.client.do_handshake()
    line.pump()
    line.front.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await line.front.ready
    assert line.app.told == []
