from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.body_limit import BodyLimit
from meshwright_sdk import Body, BodyTooLargeError, Request, Response
from meshwright_sdk.testing import FakeUpstream, build, make_request


class Chunks:
    """A stream that knows how much of it was read, and whether it was closed."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = iter(chunks)
        self.read = 0
        self.closed = False
        self.trailers: list[tuple[bytes, bytes]] = []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for chunk in self.chunks:
            self.read += 1
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


async def echo(request: Request) -> Response:
    return Response(200, body=b"".join([chunk async for chunk in request.body]))


async def test_a_body_up_to_the_limit_passes() -> None:
    response = await build(BodyLimit, max="4B")(make_request("POST", body=b"abcd"), echo)

    assert response.body.data == b"abcd"


async def test_a_longer_body_never_reaches_the_upstream() -> None:
    upstream = FakeUpstream()

    with pytest.raises(BodyTooLargeError, match="at most 4B") as raised:
        await build(BodyLimit, max="4B")(make_request("POST", body=b"abcde"), upstream)

    assert raised.value.status == 413
    assert upstream.requests == []


async def test_a_stream_that_says_its_length_is_refused_unread() -> None:
    chunks, upstream = Chunks([b"abcde"]), FakeUpstream()
    request = make_request("POST")
    request.body = Body.stream(chunks, length=5)

    with pytest.raises(BodyTooLargeError):
        await build(BodyLimit, max="4B")(request, upstream)

    assert (chunks.read, upstream.requests) == (0, [])


async def test_a_stream_of_known_length_within_the_limit_is_handed_on_as_it_is() -> None:
    request = make_request("POST")
    request.body = body = Body.stream(Chunks([b"abc"]), length=3)

    await build(BodyLimit, max="4B")(request, echo)

    assert request.body is body


async def test_a_stream_is_counted_on_its_way() -> None:
    within, beyond = Chunks([b"ab", b"cd"]), Chunks([b"ab", b"cd", b"e", b"f"])
    limit = build(BodyLimit, max="4B")

    assert (await limit(make_request("POST", body=within), echo)).body.data == b"abcd"
    with pytest.raises(BodyTooLargeError):
        await limit(make_request("POST", body=beyond), echo)
    assert beyond.read == 3


async def test_giving_up_the_counted_stream_closes_its_origin() -> None:
    chunks, upstream = Chunks([b"ab"]), FakeUpstream()
    await build(BodyLimit)(make_request("POST", body=chunks), upstream)

    await upstream.requests[0].body.aclose()

    assert chunks.closed


async def test_a_stream_without_a_way_to_close_it_can_be_given_up() -> None:
    class Bare:
        def __aiter__(self) -> AsyncIterator[bytes]:
            return aiter(Chunks([b"ab"]))

    upstream = FakeUpstream()
    await build(BodyLimit)(make_request("POST", body=Bare()), upstream)

    await upstream.requests[0].body.aclose()


async def test_the_default_is_one_mebibyte() -> None:
    limit, upstream = build(BodyLimit), FakeUpstream()

    await limit(make_request("POST", body=bytes(2**20)), upstream)
    with pytest.raises(BodyTooLargeError):
        await limit(make_request("POST", body=bytes(2**20 + 1)), upstream)


@pytest.mark.parametrize("wrong", [10, "10", "-1B", "lots"])
def test_a_limit_without_a_unit_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError, match="size with a unit"):
        build(BodyLimit, max=wrong)


async def test_trailers_go_on_with_the_body() -> None:
    chunks, upstream = Chunks([b"ab"]), FakeUpstream()
    chunks.trailers = [(b"x-sum", b"1")]
    request = make_request("POST")
    request.body = Body.stream(chunks)

    await build(BodyLimit, max="4B")(request, upstream)

    assert upstream.requests[0].body.trailers["x-sum"] == "1"
