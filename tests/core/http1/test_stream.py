from __future__ import annotations

import asyncio

import pytest

from meshwright.http1.stream import HIGH_WATER_BYTES, BodyStream
from meshwright_sdk import ClientGoneError, ResetError


class Origin:
    """The connection that feeds a stream, as the stream sees it: what it was asked, and whether it may read."""

    def __init__(self) -> None:
        self.demands = 0
        self.abandoned = 0
        self.reading = True

    def demand(self) -> None:
        self.demands += 1

    def pause(self) -> None:
        self.reading = False

    def resume(self) -> None:
        self.reading = True

    def abandon(self) -> None:
        self.abandoned += 1


class Kept:
    """A sink that keeps what it gets; it stops the stream it belongs to above `room` bytes, as a transport does."""

    def __init__(self, stream: BodyStream, room: int = 2**20) -> None:
        self.stream = stream
        self.room = room
        self.data = b""
        self.ends = 0
        self.errors: list[BaseException] = []

    def write(self, data: bytes) -> None:
        assert data
        self.data += data
        if len(self.data) > self.room:
            self.stream.pause()

    def end(self) -> None:
        self.ends += 1

    def fail(self, error: BaseException) -> None:
        self.errors.append(error)


async def collect(stream: BodyStream) -> bytes:
    return b"".join([data async for data in stream])


async def test_a_reader_gets_what_is_fed_before_and_after_it_came() -> None:
    stream = BodyStream(Origin())
    stream.feed(b"one ")
    reading = asyncio.gather(collect(stream))
    await asyncio.sleep(0)
    stream.feed(b"two ")
    await asyncio.sleep(0)
    stream.feed(b"three")
    stream.end()

    assert (await reading)[0] == b"one two three"


async def test_the_origin_is_asked_once_and_only_when_somebody_reads() -> None:
    origin = Origin()
    stream = BodyStream(origin)
    stream.feed(b"one")
    assert origin.demands == 0

    await anext(stream)
    stream.feed(b"two")
    await anext(stream)
    assert origin.demands == 1


async def test_an_unread_stream_stops_its_origin_and_a_reader_starts_it_again() -> None:
    origin = Origin()
    stream = BodyStream(origin)
    stream.feed(bytes(HIGH_WATER_BYTES))
    assert origin.reading
    stream.feed(b"x")
    assert not origin.reading

    assert len(await anext(stream)) == HIGH_WATER_BYTES + 1
    assert origin.reading


async def test_a_reader_gets_what_came_before_a_failure_and_then_the_failure_each_time() -> None:
    stream = BodyStream(Origin())
    stream.feed(b"half")
    stream.fail(ClientGoneError("gone"))

    assert await anext(stream) == b"half"
    for _ in range(2):
        with pytest.raises(ClientGoneError):
            await anext(stream)


async def test_the_first_end_is_the_one_that_counts() -> None:
    origin = Origin()
    stream = BodyStream(origin)
    stream.end()
    stream.fail(ClientGoneError("too late"))
    stream.feed(b"too late")
    stream.close()

    assert await collect(stream) == b""
    assert origin.abandoned == 0


async def test_giving_up_tells_the_origin_once_and_drops_what_still_comes() -> None:
    origin = Origin()
    stream = BodyStream(origin)
    stream.feed(b"unread")
    await stream.aclose()
    await stream.aclose()
    stream.feed(b"more")

    assert origin.abandoned == 1
    assert stream.buffered() == b""
    with pytest.raises(ResetError):
        await anext(stream)


async def test_giving_up_wakes_a_reader_that_waits() -> None:
    stream = BodyStream(Origin())
    reading = asyncio.gather(anext(stream), return_exceptions=True)
    await asyncio.sleep(0)
    stream.close()

    assert isinstance((await reading)[0], ResetError)


async def test_a_cancelled_reader_leaves_what_comes_to_the_next() -> None:
    stream = BodyStream(Origin())
    reading = asyncio.gather(anext(stream))
    await asyncio.sleep(0)
    reading.cancel()
    stream.feed(b"data")
    await asyncio.gather(reading, return_exceptions=True)

    assert await anext(stream) == b"data"


def test_a_pipe_gets_what_waited_what_comes_and_the_end() -> None:
    stream = BodyStream(Origin())
    sink = Kept(stream)
    stream.feed(b"one ")
    stream.pipe(sink)
    stream.feed(b"two")
    assert (sink.data, sink.ends) == (b"one two", 0)
    stream.end()
    assert (sink.ends, sink.errors) == (1, [])


def test_a_pipe_of_a_stream_that_has_ended_gets_all_of_it_at_once() -> None:
    stream = BodyStream(Origin())
    sink = Kept(stream)
    stream.feed(b"all")
    stream.end()
    stream.pipe(sink)

    assert (sink.data, sink.ends) == (b"all", 1)


def test_a_pipe_of_a_stream_that_has_failed_fails_after_what_came() -> None:
    stream, error = BodyStream(Origin()), ClientGoneError("gone")
    sink = Kept(stream)
    stream.feed(b"half")
    stream.fail(error)
    stream.pipe(sink)

    assert (sink.data, sink.ends, sink.errors) == (b"half", 0, [error])


def test_a_pipe_starts_an_origin_that_was_stopped_for_lack_of_a_reader() -> None:
    origin = Origin()
    stream = BodyStream(origin)
    stream.feed(bytes(HIGH_WATER_BYTES + 1))
    stream.pipe(Kept(stream))

    assert origin.reading


def test_a_sink_that_is_full_after_what_waited_keeps_the_origin_stopped() -> None:
    origin = Origin()
    stream = BodyStream(origin)
    stream.feed(bytes(HIGH_WATER_BYTES + 1))
    sink = Kept(stream, room=1024)
    stream.pipe(sink)
    assert not origin.reading

    stream.resume()
    assert origin.reading


def test_a_sink_that_lets_go_while_it_is_given_what_waited_gets_nothing_more() -> None:
    class Leaving(Kept):
        def write(self, data: bytes) -> None:
            super().write(data)
            self.stream.unpipe()

    origin = Origin()
    stream = BodyStream(origin)
    sink = Leaving(stream)
    stream.feed(b"one")
    stream.pipe(sink)
    stream.feed(b"two")
    stream.end()

    assert (sink.data, sink.ends, sink.errors) == (b"one", 0, [])
    assert origin.abandoned == 1


def test_a_sink_gets_nothing_after_the_stream_was_given_up() -> None:
    stream = BodyStream(Origin())
    sink = Kept(stream)
    stream.pipe(sink)
    stream.close()
    stream.feed(b"late")
    stream.end()
    stream.fail(ResetError("late"))

    assert (sink.data, sink.ends, sink.errors) == (b"", 0, [])


def test_pausing_does_nothing_to_the_origin_after_the_end() -> None:
    origin = Origin()
    stream = BodyStream(origin)
    stream.end()
    stream.pause()
    assert origin.reading
