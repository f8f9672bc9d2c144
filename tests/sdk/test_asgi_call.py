"""An ASGI application that answers one request: whole, streamed, wrongly, late, or never."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from meshwright_sdk import ClientGoneError, PluginError, Request, ResetError, Response, Tasks
from meshwright_sdk.asgi import App, Message, Receive, Scope, Send, http_scope
from meshwright_sdk.asgi_call import HIGH_WATER_BYTES, AppCall
from meshwright_sdk.testing import make_request


def start(status: int = 200, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def content(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


def script(*messages: Message) -> App:
    """Make an application that sends `messages` and ends."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


async def answer(app: App, request: Request | None = None, *, linger_s: float = 0.0) -> Response:
    request = request or make_request()
    return await AppCall(app, http_scope(request), request, linger_s=linger_s).respond(Tasks(), "app")


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_an_answer_in_one_go_is_complete() -> None:
    response = await answer(script(start(201, (b"X-One", b"1")), content(b"hello")))

    assert (response.status, response.headers["x-one"], response.body.data) == (201, "1", b"hello")


async def test_an_answer_in_parts_streams() -> None:
    response = await answer(script(start(), content(b"a", more=True), content(b"b", more=True), content(b"")))

    assert response.body.data is None
    assert b"".join([chunk async for chunk in response.body]) == b"ab"


async def test_a_declared_length_goes_with_the_stream() -> None:
    response = await answer(script(start(200, (b"content-length", b"2")), content(b"a", more=True), content(b"b")))

    assert response.body.length == 2


async def test_a_head_does_not_wait_for_content() -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await go_on.wait()
        await send(content(b"late"))

    response = await answer(app)
    go_on.set()

    assert await response.body.read(10) == b"late"


async def test_an_application_waits_for_a_slow_reader() -> None:
    sent = 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send(start())
        for _ in range(100):
            await send(content(bytes(10_000), more=True))
            sent += 10_000
        await send(content(b""))

    response = await answer(app)
    await turns(50)

    assert sent <= HIGH_WATER_BYTES
    assert len(await response.body.read(2_000_000)) == 1_000_000


async def test_an_application_reads_a_complete_body_in_one_message() -> None:
    got: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.append(await receive())
        await script(start(), content(b""))(scope, receive, send)

    await answer(app, make_request("POST", body=b"abc"))

    assert got == [{"type": "http.request", "body": b"abc", "more_body": False}]


async def test_an_application_reads_a_streamed_body_as_it_comes() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"

    got: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.extend([await receive(), await receive(), await receive()])
        await script(start(), content(b""))(scope, receive, send)

    await answer(app, make_request("POST", body=chunks()))

    assert [(each["body"], each["more_body"]) for each in got] == [(b"a", True), (b"b", True), (b"", False)]


async def test_a_client_that_leaves_while_sending_is_a_disconnect() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        raise ClientGoneError("gone")

    got: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        got.extend([(await receive())["type"] for _ in range(3)])
        await send(start())

    with pytest.raises(ClientGoneError):
        await answer(app, make_request("POST", body=chunks()))

    assert got == ["http.request", "http.disconnect", "http.disconnect"]


async def test_receive_says_disconnect_once_the_answer_is_complete() -> None:
    got: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await script(start(), content(b"done"))(scope, receive, send)
        got.append((await receive())["type"])

    await answer(app)
    await turns()

    assert got == ["http.disconnect"]


async def test_an_exception_before_the_answer_is_raised() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await answer(app)


async def test_an_exception_right_after_the_head_is_raised_too() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        raise KeyError("x")

    with pytest.raises(KeyError):
        await answer(app)


async def test_an_exception_later_breaks_the_body_off_after_what_was_sent() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(content(b"a", more=True))
        raise KeyError("x")

    response = await answer(app)
    chunks = aiter(response.body)

    assert await anext(chunks) == b"a"
    with pytest.raises(KeyError):
        await anext(chunks)


async def test_what_breaks_off_can_be_translated() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(content(b"a", more=True))
        raise KeyError("x")

    request = make_request()
    call = AppCall(app, http_scope(request), request, failed=lambda error: ResetError(repr(error)))
    response = await call.respond(Tasks(), "app")

    with pytest.raises(ResetError, match="KeyError"):
        await response.body.read(10)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [start()],
        [content(b"a")],
        [start(), start()],
        [start(), {"type": "http.response.trailers"}],
        [start(200, (b"content-length", b"3")), content(b"a")],
        [start(200, (b"content-length", b"3")), content(b"abcd")],
        [start(200, (b"content-length", b"3")), content(b"abcd", more=True)],
        [start(200, (b"x", b"1\r\ny: 2")), content(b"a")],
    ],
    ids=[
        "nothing",
        "head alone",
        "no head",
        "two heads",
        "unknown",
        "too short",
        "too long",
        "too long at once",
        "header injection",
    ],
)
async def test_an_answer_that_is_none_raises(messages: list[Message]) -> None:
    with pytest.raises((PluginError, RuntimeError, ValueError), match="asgi: "):
        await answer(script(*messages))


async def test_an_application_that_ends_early_breaks_the_body_off() -> None:
    response = await answer(script(start(), content(b"a", more=True)))

    with pytest.raises(PluginError, match="before its answer was complete"):
        await response.body.read(10)


async def test_too_much_content_is_told_at_once_and_none_of_it_is_read() -> None:
    told: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200, (b"content-length", b"3")))
        await send(content(b"one", more=True))
        try:
            await send(content(b"two", more=True))
        except RuntimeError as error:
            told.append(str(error))
            raise

    response = await answer(app)
    chunks = aiter(response.body)

    assert await anext(chunks) == b"one"
    with pytest.raises(RuntimeError, match="expected 3 bytes as in content-length; got 6 or more"):
        await anext(chunks)
    assert told == ["asgi: expected 3 bytes as in content-length; got 6 or more"]


async def test_content_of_an_answer_to_head_is_dropped() -> None:
    response = await answer(script(start(200, (b"content-length", b"5")), content(b"hello")), make_request("HEAD"))

    assert (response.body.data, response.headers["content-length"]) == (b"", "5")


async def test_giving_up_cancels_the_application_and_waits_for_it() -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    response = await answer(app)
    await response.aclose()

    assert events == ["cancelled"]


async def test_a_cancelled_caller_cancels_the_application() -> None:
    began, events = asyncio.Event(), list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            events.append("ended")

    caller = Tasks().spawn(answer(app), name="caller")
    await began.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert events == ["ended"]


async def test_a_lingering_application_is_told_that_the_client_left() -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        events.append((await receive())["type"])
        try:
            await send(content(b"a"))
        except OSError:
            events.append("refused")

    response = await answer(app, linger_s=30.0)
    await turns()
    await response.aclose()
    await turns()

    assert events == ["http.disconnect", "refused"]


async def test_a_lingering_application_that_waits_in_send_is_released() -> None:
    events: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            while True:
                await send(content(bytes(50_000), more=True))
        except OSError:
            events.append("refused")

    response = await answer(app, linger_s=30.0)
    await turns()
    await response.aclose()
    await turns()

    assert events == ["refused"]


async def test_a_lingering_application_is_cancelled_in_the_end() -> None:
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    response = await answer(app, linger_s=0.01)
    await response.aclose()

    await ended.wait()


async def test_work_after_a_complete_answer_goes_on() -> None:
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await script(start(), content(b"ok"))(scope, receive, send)
        await turns()
        done.set()

    response = await answer(app)
    await response.aclose()

    await done.wait()


async def test_a_failure_after_a_complete_answer_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await script(start(), content(b"ok"))(scope, receive, send)
        raise KeyError("late")

    with caplog.at_level(logging.ERROR):
        response = await answer(app)
        await turns()

    assert response.status == 200
    assert "app failed after its response" in caplog.text
