"""Items from one task to another: in order, bounded, ended."""

from __future__ import annotations

import asyncio

from meshwright.asgi.channel import HIGH_WATER_BYTES, Channel
from tests.core.asgi.peer import turns


async def test_items_come_out_in_order_and_then_nothing() -> None:
    channel: Channel[str] = Channel()
    channel.push("a", 1)
    channel.push("b", 1)
    channel.end()

    assert [await channel.pop(), await channel.pop(), await channel.pop(), await channel.pop()] == [
        "a",
        "b",
        None,
        None,
    ]


async def test_a_reader_waits_for_the_next_item() -> None:
    channel: Channel[str] = Channel()
    reader = asyncio.get_running_loop().create_task(channel.pop())
    await turns()
    waiting = not reader.done()

    channel.push("a", 1)

    assert (waiting, await reader) == (True, "a")


async def test_a_writer_waits_for_a_slow_reader() -> None:
    channel: Channel[str] = Channel()
    channel.push("a", HIGH_WATER_BYTES + 1)
    writer = asyncio.get_running_loop().create_task(channel.room())
    await turns()
    waiting = not writer.done()

    await channel.pop()
    await writer

    assert waiting


async def test_the_end_releases_both_sides() -> None:
    channel: Channel[str] = Channel()
    reader = asyncio.get_running_loop().create_task(channel.pop())
    full: Channel[str] = Channel()
    full.push("a", HIGH_WATER_BYTES + 1)
    writer = asyncio.get_running_loop().create_task(full.room())
    await turns()

    channel.end()
    full.end()
    full.push("late", 1)

    assert await reader is None
    await writer
    assert [await full.pop(), await full.pop()] == ["a", None]
