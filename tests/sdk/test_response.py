from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from meshwright_sdk import Body, Headers, Response


class Source:
    """A stream that notes the order in which it was given up."""

    def __init__(self, name: str = "", events: list[str] | None = None, *, fails: bool = False) -> None:
        self.name = name
        self.events = [] if events is None else events
        self.fails = fails

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"chunk"

    async def aclose(self) -> None:
        self.events.append(self.name)
        if self.fails:
            raise OSError("gone")


class Line:
    """A tunnel that only knows whether it was closed."""

    closed = False

    async def read(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def test_text_and_json_say_what_they_are() -> None:
    text, value = Response.text("é", status=201), Response.json({"a": [1, None]})

    assert (text.status, text.body.data) == (201, "é".encode())
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert (value.status, value.body.data) == (200, b'{"a":[1,null]}')
    assert value.headers["content-type"] == "application/json"
    with pytest.raises(TypeError):
        Response.json(object())


def test_headers_come_as_a_mapping_or_as_they_are() -> None:
    headers = Headers({"a": "1"})

    assert Response(headers=headers).headers is headers
    assert Response(headers={"A": "1"}).headers == headers
    assert Response().headers == Headers()


def test_assigning_bytes_corrects_the_length() -> None:
    response = Response(200, {"content-length": "2"}, b"ok")
    response.body = b"longer"

    assert (response.body.data, response.headers["content-length"]) == (b"longer", "6")


def test_assigning_a_stream_of_unknown_length_removes_the_length() -> None:
    response = Response(200, {"content-length": "2"}, b"ok")
    response.body = Source()

    assert "content-length" not in response.headers
    assert not response.complete


def test_a_stream_of_known_length_keeps_it() -> None:
    response = Response()
    response.body = Body.stream(Source(), length=5)

    assert response.headers["content-length"] == "5"


async def test_the_callbacks_run_once_at_the_end_with_what_cut_it_short() -> None:
    response = Response()
    ends: list[tuple[str, BaseException | None]] = []
    response.on_close(lambda error: ends.append(("first", error)))
    response.on_close(lambda error: ends.append(("second", error)))
    error = ConnectionResetError()
    before = list(ends)
    await response.aclose(error)
    await response.aclose()
    response.settle()

    assert before == []
    assert ends == [("first", error), ("second", error)]
    assert response.closed


def test_a_callback_that_raises_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    response = Response()
    ends: list[BaseException | None] = []

    def broken(error: BaseException | None) -> None:
        raise KeyError("oops")

    response.on_close(broken)
    response.on_close(ends.append)
    response.settle()

    assert ends == [None]
    assert "an on_close callback raised" in caplog.text


async def test_closing_releases_the_body_and_every_body_before_it() -> None:
    events: list[str] = []
    response = Response(200, {}, Source("first", events))
    response.body = Source("second", events)
    response.body = b"third"
    replaced = response.replaced
    await response.aclose()
    await response.aclose()

    assert replaced
    assert sorted(events) == ["first", "second"]


def test_a_response_is_complete_when_nothing_is_still_to_come_from_elsewhere() -> None:
    streamed = Response(200, {}, Source())
    streamed.body = b"read"

    assert Response(200, {}, b"all").complete
    assert not Response(200, {}, Source()).complete
    assert not streamed.complete


async def test_the_life_ends_even_if_the_body_cannot_be_closed() -> None:
    response, line = Response(101, {}, Source(fails=True)), Line()
    ends: list[BaseException | None] = []
    response.on_close(ends.append)
    response.tunnel = line
    with pytest.raises(OSError, match="gone"):
        await response.aclose()

    assert (ends, response.closed, line.closed) == ([None], True, True)


async def test_every_body_is_closed_though_one_of_them_cannot_be() -> None:
    events: list[str] = []
    response = Response(200, body=Source("first", events))
    response.body = Body.stream(Source("second", events, fails=True))

    with pytest.raises(OSError, match="gone"):
        await response.aclose()

    assert events == ["second", "first"]
    assert response.closed
