from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from meshwright_sdk import Body, BodyTooLargeError


class Source:
    """Chunks that remember how many were pulled, and whether they were given up."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.pulled = 0
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.pulled += 1
            yield chunk

    async def aclose(self) -> None:
        self.closed = True


async def chunks_of(body: Body) -> list[bytes]:
    return [chunk async for chunk in body]


async def test_known_bytes_are_replayable_and_can_be_read_again_and_again() -> None:
    body = Body(b"hello")

    assert (body.replayable, body.length, body.data) == (True, 5, b"hello")
    assert await chunks_of(body) == await chunks_of(body) == [b"hello"]
    assert await body.read(5) == b"hello"


async def test_an_empty_body_has_no_chunks() -> None:
    assert (await chunks_of(Body()), Body().length) == ([], 0)


async def test_a_stream_is_pulled_once() -> None:
    body = Body.stream(Source(b"a", b"b"), length=2)

    assert (body.replayable, body.length, body.data) == (False, 2, None)
    assert await chunks_of(body) == [b"a", b"b"]
    with pytest.raises(
        RuntimeError, match=r"expected to be read once; it was already read \(use read\(\) to keep it\)"
    ):
        aiter(body)


async def test_a_stream_is_spent_once_it_has_its_reader_and_kept_content_never() -> None:
    known, kept, taken = Body(b"a"), Body.stream(Source(b"a")), Body.stream(Source(b"a"))
    assert (known.spent, kept.spent, taken.spent) == (False, False, False)

    aiter(known)
    await kept.read(10)
    taken.take()

    assert (known.spent, kept.spent, taken.spent) == (False, False, True)


async def test_reading_a_stream_whole_makes_it_replayable() -> None:
    body = Body.stream(Source(b"he", b"llo"))

    assert await body.read(5) == b"hello"
    assert (body.replayable, body.length) == (True, 5)
    assert await chunks_of(body) == [b"hello"]
    assert await body.read(5) == b"hello"


async def test_reading_stops_at_the_limit() -> None:
    source = Source(b"hel", b"lo", b"more")

    with pytest.raises(BodyTooLargeError, match="body: expected at most 4 bytes; got more") as caught:
        await Body.stream(source).read(4)
    assert (caught.value.status, source.pulled) == (413, 2)


async def test_a_length_above_the_limit_is_refused_unread() -> None:
    source = Source(b"hello")

    with pytest.raises(BodyTooLargeError):
        await Body.stream(source, length=5).read(4)
    assert source.pulled == 0


async def test_known_bytes_above_the_limit_are_refused() -> None:
    with pytest.raises(BodyTooLargeError):
        await Body(b"hello").read(4)


async def test_a_stream_that_was_handed_over_cannot_be_read() -> None:
    body = Body.stream(Source(b"a"))
    body.take()

    with pytest.raises(RuntimeError, match="already read"):
        await body.read(10)


async def test_giving_up_a_body_releases_its_source() -> None:
    source = Source(b"a")
    await Body.stream(source).aclose()
    await Body(b"a").aclose()

    assert source.closed
