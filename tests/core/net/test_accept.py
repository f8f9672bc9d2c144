from __future__ import annotations

import asyncio
import resource
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from meshwright.config.bind import Bind
from meshwright.config.model import TlsConfig
from meshwright.net import accept, proxy_front
from meshwright.net.accept import Acceptor, RefusalCounts, Terms
from meshwright.net.server_tls import ServerTls
from meshwright.net.sockets import bind_socket
from meshwright_sdk import Metrics
from tests.certificates import trusting, write_authority, write_certificate
from tests.core.http1.wire import WAIT_S, turns, until
from tests.core.net.handshake import client_hello

V1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 4242 443\r\n"
V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 1]), bytes(4), 4242, 443)
LOCAL = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    def __init__(self, place: list[Echo]) -> None:
        self.addresses: tuple[Any, Any] | None = None
        self._place = place

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._place.append(self)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.remove(self)


class Server:
    def __init__(self, **terms: Any) -> None:
        self.connections: list[Echo] = []
        self.metrics = Metrics()
        base = Terms(protocol=lambda: Echo(self.connections), open=lambda: len(self.connections), max_connections=100)
        bound = bind_socket(Bind("127.0.0.1", 0))
        self.port: int = bound.getsockname()[1]
        self.acceptor = Acceptor(bound, replace(base, **terms), RefusalCounts(self.metrics, "web"), "listener web")
        self.clients: list[asyncio.StreamWriter] = []

    async def connect(self, **options: Any) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        self.clients.append(writer)
        return reader, writer

    async def echoes(self, data: bytes = b"hello", **options: Any) -> Streams:
        """Connect and have something echoed."""
        reader, writer = await self.connect(**options)
        await self.echo(reader, writer, data)
        return reader, writer

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes = b"hello") -> None:
        writer.write(data)
        assert await asyncio.wait_for(reader.readexactly(len(data)), 10) == data

    async def refuses(self, data: bytes = b"", **options: Any) -> bool:
        """Connect, send something, and return whether the connection ends without a byte."""
        try:
            reader, writer = await self.connect(**options)
            writer.write(data)
            return await asyncio.wait_for(reader.read(), 10) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def refused(self, reason: str) -> float:
        return self.metrics.counter("meshwright_connections_refused_total", "", listener="web", reason=reason).value


@asynccontextmanager
async def serving(**terms: Any) -> AsyncIterator[Server]:
    server = Server(**terms)
    server.acceptor.start()
    try:
        yield server
    finally:
        server.acceptor.stop()
        await server.acceptor.cut_off()
        for client in server.clients:
            client.transport.abort()
        await until(lambda: not server.connections)


def server_tls(folder: Path, **options: Any) -> Callable[[], ssl.SSLContext]:
    certificate, key = write_certificate(folder)
    return ServerTls(TlsConfig(certificate=str(certificate), key=str(key), **options), folder).context


@pytest.fixture
def tls(tmp_path: Path) -> Callable[[], ssl.SSLContext]:
    return server_tls(tmp_path)


async def test_connections_are_taken_with_their_protocol() -> None:
    async with serving() as server:
        for _ in range(3):
            await server.echoes()
        assert len(server.connections) == 3


async def test_a_client_that_resets_its_connection_at_once_is_known_all_the_same() -> None:
    taken: list[Echo] = []

    def protocol() -> Echo:
        taken.append(Echo(server.connections))
        return taken[-1]

    async with serving(protocol=protocol) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as client:  # it is gone when it is taken
            client.sendall(b"hello")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            name, peer = client.getsockname(), client.getpeername()
        await until(lambda: bool(taken) and not server.connections)

    assert [each.addresses for each in taken] == [(name, peer)]


async def test_one_connection_more_than_the_limit_is_closed_and_the_others_go_on() -> None:
    async with serving(max_connections=2) as server:
        first, second = await server.echoes(), await server.echoes()

        assert await server.refuses()
        assert (server.refused("limit"), len(server.connections)) == (1, 2)
        await server.echo(*first)
        await server.echo(*second)


async def test_a_connection_that_ends_makes_room_for_another() -> None:
    async with serving(max_connections=1) as server:
        _, writer = await server.echoes()
        writer.close()
        await until(lambda: not server.connections)

        await server.echoes()


async def test_connections_whose_handshake_is_not_over_count_too(tls: Callable[[], ssl.SSLContext]) -> None:
    async with serving(max_connections=2, tls=tls) as server:
        for _ in range(2):
            await server.connect()
        await until(lambda: server.acceptor.opening == 2)

        assert await server.refuses()
        assert server.refused("limit") == 1


async def test_other_terms_hold_for_the_connections_to_come() -> None:
    async with serving() as server:
        before = await server.echoes()
        server.acceptor.terms = replace(server.acceptor.terms, max_connections=1)

        assert await server.refuses()
        await server.echo(*before)


async def test_without_free_descriptors_it_waits_and_does_not_spin(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "PAUSE_S", 0.05)
    pauses: list[OSError] = []
    pause = Acceptor._pause

    def counted(acceptor: Acceptor, error: OSError) -> None:
        pauses.append(error)
        pause(acceptor, error)

    monkeypatch.setattr(Acceptor, "_pause", counted)
    loop = asyncio.get_running_loop()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving() as server:
        before = await server.echoes()
        client = socket.socket()
        with client:
            client.setblocking(False)
            resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 1, hard))
            try:
                begun = loop.time()
                await loop.sock_connect(client, ("127.0.0.1", server.port))
                await until(lambda: len(pauses) >= 3)
                await server.echo(*before)
                assert len(server.connections) == 1
                assert len(pauses) <= 2 + (loop.time() - begun) / accept.PAUSE_S
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await until(lambda: len(server.connections) == 2)
    (line,) = [each for each in caplog.messages if "no connection" in each]
    assert line == "listener web: no connection can be taken for now: Too many open files"


async def test_tls_is_spoken_and_what_a_client_shows_can_be_asked_for(tmp_path: Path) -> None:
    write_authority(tmp_path)
    context = trusting(certificate=write_certificate(tmp_path, "a@example.com", stem="client"))
    async with serving(tls=server_tls(tmp_path, client_ca="ca.pem")) as server:
        await server.echoes(b"secret", ssl=context, server_hostname="localhost")

        (connection,) = server.connections
        assert connection.transport.get_extra_info("sslcontext") is not None
        assert connection.transport.get_extra_info("peercert")["subjectAltName"] == (("email", "a@example.com"),)


async def test_a_handshake_that_fails_is_counted_and_harms_nobody(
    tls: Callable[[], ssl.SSLContext], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tls=tls) as server:
        assert await server.refuses(ssl=trusting("strangers"), server_hostname="localhost")
        reader, writer = await server.connect()
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert b"HTTP" not in await asyncio.wait_for(reader.read(), 10)
        _, writer = await server.connect()
        writer.close()
        await until(lambda: server.refused("tls") == 3)

        await server.echoes(ssl=trusting(), server_hostname="localhost")
    assert caplog.messages == []


async def test_a_handshake_that_takes_too_long_is_given_up(
    tls: Callable[[], ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "HANDSHAKE_S", 0.05)
    async with serving(tls=tls) as server:
        assert await server.refuses()
        assert (server.refused("tls"), server.acceptor.opening) == (1, 0)


@pytest.mark.parametrize("header", [V1, V2])
@pytest.mark.parametrize("bytewise", [False, True])
async def test_a_proxy_header_tells_the_addresses_and_what_follows_is_for_the_protocol(
    header: bytes, bytewise: bool
) -> None:
    async with serving(proxy_protocol=True) as server:
        reader, writer = await server.connect()
        for place in range(len(header) if bytewise else 0):
            writer.write(header[place : place + 1])
            await turns(4)
        await server.echo(reader, writer) if bytewise else writer.write(header + b"hello")
        if not bytewise:
            assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"

        (connection,) = server.connections
        assert connection.addresses is not None
        assert (connection.addresses[0], connection.addresses[1][1]) == (("192.0.2.1", 4242), 443)


@pytest.mark.parametrize("header", [LOCAL, b"PROXY UNKNOWN\r\n"])
async def test_a_proxy_that_speaks_for_itself_is_the_peer(header: bytes) -> None:
    async with serving(proxy_protocol=True) as server:
        reader, writer = await server.connect()
        writer.write(header + b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"

        assert server.connections[0].addresses == (writer.get_extra_info("sockname"), writer.get_extra_info("peername"))


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", V2[:12] + b"\x31" + V2[13:]])
async def test_a_connection_without_a_proxy_header_is_closed(data: bytes) -> None:
    async with serving(proxy_protocol=True) as server:
        assert await server.refuses(data)
        assert (server.refused("proxy_protocol"), server.connections) == (1, [])


async def test_a_proxy_header_that_breaks_off_is_no_connection() -> None:
    async with serving(proxy_protocol=True) as server:
        _, writer = await server.connect()
        writer.write(V1[:-1])
        writer.close()
        await until(lambda: server.refused("proxy_protocol") == 1)


async def test_a_proxy_header_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_front, "HEADER_S", 0.05)
    async with serving(proxy_protocol=True) as server:
        assert await server.refuses(V1[:-1])
        assert (server.refused("proxy_protocol"), server.acceptor.opening) == (1, 0)


async def test_a_proxy_header_is_taken_from_those_who_are_believed() -> None:
    async with serving(proxy_protocol=True, believes=lambda host: host == "127.0.0.1") as server:
        reader, writer = await server.connect()
        writer.write(V1 + b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"

        server.acceptor.terms = replace(server.acceptor.terms, believes=lambda host: host == "192.0.2.1")
        assert await server.refuses(V1)
        assert server.refused("proxy_protocol") == 1


async def test_a_proxy_header_and_the_first_bytes_of_tls_may_come_as_one(tls: Callable[[], ssl.SSLContext]) -> None:
    async with serving(proxy_protocol=True, tls=tls) as server:
        reader, writer = await server.connect()
        client, incoming, hello = client_hello(trusting(), "localhost")
        writer.write(V2 + hello)
        incoming.write(await asyncio.wait_for(reader.read(2**16), 10))
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                incoming.write(await asyncio.wait_for(reader.read(2**16), 10))

        assert client.version() == "TLSv1.3"


async def test_a_connection_that_is_being_opened_when_it_stops_is_opened(tls: Callable[[], ssl.SSLContext]) -> None:
    async with serving(proxy_protocol=True) as server:
        reader, writer = await server.connect()
        await until(lambda: server.acceptor.opening == 1)
        server.acceptor.stop()

        writer.write(V1 + b"hello")
        assert await asyncio.wait_for(reader.readexactly(5), 10) == b"hello"
        with pytest.raises(ConnectionRefusedError):
            await server.connect()


@pytest.mark.parametrize("with_tls", [False, True])
async def test_what_is_being_opened_can_be_cut_off(
    tls: Callable[[], ssl.SSLContext], with_tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accept, "CUT_OFF_S", 2 * WAIT_S)
    async with serving(proxy_protocol=not with_tls, tls=tls if with_tls else None) as server:
        reader, _ = await server.connect()
        await until(lambda: server.acceptor.opening == 1)
        async with asyncio.timeout(WAIT_S):
            await server.acceptor.cut_off()

        assert await asyncio.wait_for(reader.read(), 10) == b""
