from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from meshwright_sdk import Body, Relay


class Source:
    """Two chunks, trailers, and whether they were given up."""

    trailers: ClassVar = [(b"x-sum", b"1")]
    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"c"

    async def aclose(self) -> None:
        self.closed = True


class Louder(Relay):
    """What a filter makes of a relay."""

    __slots__ = ()

    async def __anext__(self) -> bytes:
        return (await anext(self.chunks)).upper()


async def test_chunks_and_trailers_go_on() -> None:
    body = Body.stream(Louder(Body.stream(Source())))

    assert [chunk async for chunk in body] == [b"AB", b"C"]
    assert body.trailers["x-sum"] == "1"


async def test_giving_it_up_gives_its_source_up() -> None:
    source = Source()

    await Body.stream(Relay(Body.stream(source))).aclose()

    assert source.closed


def test_a_body_that_was_read_is_refused() -> None:
    body = Body.stream(Source())
    body.take()

    with pytest.raises(RuntimeError, match="already read"):
        Relay(body)
