"""A request as a scope, a response as messages, a body from messages, and headers that strangers wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from meshwright_sdk import Body, ClientGoneError, ResetError, Response
from meshwright_sdk.asgi import Message, body_messages, clean_headers, http_scope, receive_body, send_response
from meshwright_sdk.testing import make_request


class Receiver:
    """Gives messages in turn and counts how often it was asked."""

    def __init__(self, *messages: Message) -> None:
        self.messages = list(messages)
        self.asked = 0

    async def __call__(self) -> Message:
        self.asked += 1
        return self.messages.pop(0)


class Sender:
    """Keeps what it is sent; raises `error` from message number `fails_at` on."""

    def __init__(self, error: BaseException | None = None, fails_at: int = 0) -> None:
        self.messages: list[Message] = []
        self.error = error
        self.fails_at = fails_at

    async def __call__(self, message: Message) -> None:
        if self.error is not None and len(self.messages) >= self.fails_at:
            raise self.error
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        return b"".join(message["body"] for message in self.messages[1:])


class Source:
    """Chunks, then maybe an error; notes that it was closed."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks = list(chunks)
        self.error = error
        self.closed = False

    def __aiter__(self) -> Source:
        return self

    async def __anext__(self) -> bytes:
        if self.chunks:
            return self.chunks.pop(0)
        if self.error is not None:
            raise self.error
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed = True


def ends_of(response: Response) -> list[BaseException | None]:
    ends: list[BaseException | None] = []
    response.on_close(ends.append)
    return ends


def message(body: bytes, *, more: bool) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_scope_says_what_the_request_says() -> None:
    request = make_request("POST", "http://shop.test/a%2Fb%20c?q=%C3%A9", headers={"x-one": "1"})

    scope = http_scope(request)

    assert (scope["type"], scope["method"], scope["scheme"]) == ("http", "POST", "http")
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == ("/a/b c", b"/a%2Fb%20c", b"q=%C3%A9")
    assert scope["headers"] == [(b"host", b"shop.test"), (b"x-one", b"1")]
    assert scope["client"] == ("192.0.2.1", 40000)


def test_changing_the_scopes_headers_leaves_the_request_alone() -> None:
    request = make_request()

    http_scope(request)["headers"].append((b"x-late", b"1"))

    assert "x-late" not in request.headers


def test_a_client_without_an_address_is_none() -> None:
    request = make_request(client="")

    assert http_scope(request)["client"] is None


async def test_a_body_in_one_message_is_complete() -> None:
    body = await receive_body(Receiver(message(b"all", more=False)))

    assert body.data == b"all"


async def test_a_body_in_several_messages_streams() -> None:
    body = await receive_body(Receiver(message(b"a", more=True), message(b"", more=True), message(b"b", more=False)))

    assert body.data is None
    assert [chunk async for chunk in body] == [b"a", b"b"]


async def test_a_client_that_leaves_breaks_the_stream_off() -> None:
    body = await receive_body(Receiver(message(b"a", more=True), {"type": "http.disconnect"}))

    with pytest.raises(ClientGoneError):
        await body.read(100)


async def test_a_lazy_body_asks_for_nothing_before_it_is_read() -> None:
    receive = Receiver(message(b"a", more=False))
    body = Body.stream(body_messages(receive))

    asked_before = receive.asked
    content = await body.read(10)

    assert (asked_before, content) == (0, b"a")


async def test_a_complete_response_is_two_messages() -> None:
    response, send = Response.text("hello"), Sender()
    ends = ends_of(response)

    await send_response(response, send)

    assert [each["type"] for each in send.messages] == ["http.response.start", "http.response.body"]
    assert (send.messages[0]["status"], send.body, ends) == (200, b"hello", [None])


async def test_a_streamed_response_ends_with_an_empty_message() -> None:
    response, send = Response(200, None, Source(b"a", b"b")), Sender()
    ends = ends_of(response)

    await send_response(response, send)

    assert [message["body"] for message in send.messages[1:]] == [b"a", b"b", b""]
    assert [message["more_body"] for message in send.messages[1:]] == [True, True, False]
    assert ends == [None]


async def test_the_end_is_announced_before_the_last_message() -> None:
    send = Sender()
    counts: list[int] = []

    await send_response(Response(200, None, Source(b"a")), send, before_end=lambda: counts.append(len(send.messages)))

    assert counts == [2]


async def test_a_body_that_breaks_off_raises_and_closes_the_response() -> None:
    source = Source(b"a", error=ResetError("gone"))
    response, send = Response(200, None, source), Sender()
    ends = ends_of(response)

    with pytest.raises(ResetError) as caught:
        await send_response(response, send)

    assert (ends, source.closed) == ([caught.value], True)
    assert [each["more_body"] for each in send.messages[1:]] == [True]


async def test_an_oserror_of_send_means_that_the_client_is_gone() -> None:
    source = Source(b"a", b"b")
    response = Response(200, None, source)
    ends = ends_of(response)

    with pytest.raises(ClientGoneError) as caught:
        await send_response(response, Sender(BrokenPipeError(), fails_at=2))

    assert (ends, source.closed) == ([caught.value], True)


async def test_a_cancelled_response_is_closed() -> None:
    reached = asyncio.Event()

    async def stuck() -> AsyncIterator[bytes]:
        yield b"a"
        reached.set()
        await asyncio.Event().wait()

    response, send = Response(200, None, stuck()), Sender()
    ends = ends_of(response)
    task = asyncio.get_running_loop().create_task(send_response(response, send))
    await reached.wait()

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert isinstance(ends[0], asyncio.CancelledError)


def test_header_names_become_lower_case_pairs() -> None:
    assert clean_headers([[b"X-One", b"1"], (b"x-two", b"2")]) == [(b"x-one", b"1"), (b"x-two", b"2")]


@pytest.mark.parametrize("field", [(b"", b"1"), (b"a b", b"1"), (b"a:", b"1"), (b"x", b"1\r\ny: 2"), (b"x", b"\x00")])
def test_a_header_that_could_become_another_is_refused(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="asgi: expected header"):
        clean_headers([(b"ok", b"1"), field])
