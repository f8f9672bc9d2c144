from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright_plugins.filters.cache.spool import Broken, Room, Spool
from meshwright_sdk import Body, ConnectError, ResetError, Tasks
from tests.plugins.filters.cache.rig import chunks


class Source:
    """Chunks without end, counted, and whether they were given up."""

    def __init__(self) -> None:
        self.given = 0
        self.closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self.given += 1
        await asyncio.sleep(0)
        return b"x"

    async def aclose(self) -> None:
        self.closed = True


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


async def test_it_reads_ahead_up_to_its_limit_and_no_further() -> None:
    source, copies = Source(), list[bytes | Broken]()
    spool = Spool(Body.stream(source), 10, copies.append, Tasks(), Room(10**9))
    await turns()
    assert (source.given, copies) == (11, [Broken.TOO_LONG])

    read = [await anext(spool) for _ in range(20)]

    assert read == [b"x"] * 20
    assert source.given == 20
    await spool.aclose()
    assert source.closed


async def test_the_copy_is_whole_however_slow_the_reader_is() -> None:
    copies = list[bytes | Broken]()
    spool = Spool(Body.stream(chunks(b"ab", b"cd")), 10, copies.append, Tasks(), Room(10**9))
    first = await anext(spool)
    await turns()

    assert (first, copies) == (b"ab", [b"abcd"])
    assert [chunk async for chunk in spool] == [b"cd"]
    await spool.aclose()
    assert copies == [b"abcd"]


async def test_what_went_wrong_reaches_the_reader_after_what_came_before() -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield b"a"
        raise ConnectError("gone")

    copies = list[bytes | Broken]()
    spool = Spool(Body.stream(breaking()), 10, copies.append, Tasks(), Room(10**9))
    await turns()

    assert await anext(spool) == b"a"
    with pytest.raises(ConnectError):
        await anext(spool)
    assert copies == [Broken.LEFT]


async def test_a_reader_that_leaves_gives_the_source_up() -> None:
    source, copies = Source(), list[bytes | Broken]()
    spool = Spool(Body.stream(source), 10**6, copies.append, Tasks(), Room(10**9))
    await anext(spool)
    await spool.aclose()
    given = source.given
    await turns()

    assert (source.given, source.closed, copies) == (given, True, [Broken.LEFT])


async def test_one_that_is_given_up_before_it_began_is_no_copy() -> None:
    source, copies = Source(), list[bytes | Broken]()
    await Spool(Body.stream(source), 10, copies.append, Tasks(), Room(10**9)).aclose()

    assert (source.closed, copies) == (True, [Broken.LEFT])


async def test_a_body_whose_reading_ahead_is_cancelled_does_not_look_complete() -> None:
    async def hanging() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    tasks = Tasks()
    spool = Spool(Body.stream(hanging()), 10, lambda content: None, tasks, Room(10**9))
    assert await anext(spool) == b"a"
    await tasks.close()

    with pytest.raises(ResetError):
        await anext(spool)


async def test_all_that_are_on_their_way_share_one_bound_and_give_back_what_they_held() -> None:
    room, copies = Room(30), list[bytes | Broken]()
    spools = [Spool(Body.stream(Source()), 20, copies.append, Tasks(), room) for _ in range(4)]
    await turns()

    assert room.used <= 30 + len(spools)
    assert copies == [Broken.TOO_LONG] * 4
    for _ in range(40):
        await anext(spools[0])
    for spool in spools:
        await spool.aclose()
    assert room.used == 0


async def test_a_generator_that_is_being_read_is_given_up_without_an_error() -> None:
    closed = []

    async def hanging() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    spool = Spool(Body.stream(hanging()), 10, lambda content: None, Tasks(), Room(100))
    await anext(spool)
    await turns()
    await spool.aclose()

    assert closed == [True]
