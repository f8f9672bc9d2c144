from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright_sdk import Request, Response
from meshwright_sdk.testing import make_request
from tests.core.http1.harness import serving
from tests.core.http1.line import line_to, take
from tests.core.http1.wire import Wire, turns, until

HIDDEN = b"GET /x HTTP/1.1\r\nhost: "
REQUESTS = [
    (b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n", b"GET /a "),
    (b"\r\nGET /b?c=d HTTP/1.1\r\nHost: a\r\nX-Long: %b\r\n\r\n" % (b"x" * 300), b"GET /b?c=d "),
    (b"POST /c HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello", b"POST /c hello"),
    (
        b"POST /d HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3;x\r\nhel\r\n2\r\nlo\r\n0\r\nt: 1\r\n\r\n",
        b"POST /d hello",
    ),
    (b"PUT /e HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n", b"PUT /e "),
    (b"GET /f HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n", b"GET /f "),
    (
        b"POST /g HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 23\r\n\r\n" + HIDDEN,
        b"POST /g " + HIDDEN,
    ),
    (b"GET /h HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", b"GET /h "),
]
LAST = [
    (b"", None),
    (b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n" + REQUESTS[0][0], 400),
    (b"B(EW / HTTP/1.1\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\nabc", 400),
    (b"GET /z HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" + REQUESTS[0][0], 200),
]
CUTS = st.lists(st.integers(1, 2000), max_size=8, unique=True)


def cut(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Yield the pieces of `data` between the places of `cuts`."""
    places = [0, *sorted(place for place in cuts if place < len(data)), len(data)]
    for begin, end in pairwise(places):
        yield data[begin:end]


async def echo(request: Request) -> Response:
    return Response(200, None, f"{request.method} {request.target} ".encode() + await request.body.read(1000))


@settings(max_examples=150)
@given(st.lists(st.sampled_from(REQUESTS), max_size=6), st.sampled_from(LAST), CUTS, st.integers(0, 6))
async def test_where_the_bytes_of_requests_are_cut_changes_nothing(
    requests: list[tuple[bytes, bytes]], last: tuple[bytes, int | None], cuts: list[int], pause: int
) -> None:
    async with serving(echo) as server:
        wire = await server.client()
        await until(lambda: bool(server.connections))
        connection = server.connection
        for piece in cut(b"".join(sent for sent, _ in requests) + last[0], cuts):
            if piece:
                connection.data_received(piece)
                await turns(pause)
        assert [(await wire.message()).body for _ in requests] == [body for _, body in requests]
        if last[1] is not None:
            assert (await wire.message()).status == last[1]
            assert await wire.ended()


RESPONSES = [
    (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x\r\nhel\r\n2\r\nlo\r\n0\r\nt: 1\r\n\r\n", b"hello"),
    (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 E\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx",
        b"x",
    ),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", b""),
    (b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\nx-long: %b\r\n\r\nok" % (b"x" * 300), b"ok"),
]


async def silence(wire: Wire) -> None:
    await wire.rest()


@settings(max_examples=150)
@given(st.lists(st.sampled_from(RESPONSES), min_size=1, max_size=4), CUTS, st.integers(0, 3))
async def test_where_the_bytes_of_responses_are_cut_changes_nothing(
    responses: list[tuple[bytes, bytes]], cuts: list[int], pause: int
) -> None:
    async with line_to(silence) as line:
        for sent, body in responses:
            connection = await take(line.pool)
            exchange = connection._loop.create_task(connection.exchange(make_request()))
            await turns(2)
            for piece in cut(sent, cuts):
                connection.data_received(piece)
                await turns(pause)
            assert await (await exchange).body.read(1000) == body
        assert (line.pool.connects, line.idle) == (1, 1)
