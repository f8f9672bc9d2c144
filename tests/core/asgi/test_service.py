"""An ASGI application as a service: answers, failures, lifespan, WebSockets behind the tunnel."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from wsproto.connection import ConnectionType

from meshwright.asgi import app_socket, service
from meshwright.asgi.framing import Close, Framing, accept_key
from meshwright.asgi.service import AsgiService
from meshwright_sdk import (
    ConfigError,
    DownstreamError,
    PluginError,
    Request,
    ResetError,
    Response,
    Tunnel,
    UpstreamTimeoutError,
)
from meshwright_sdk.asgi import App, Message, Receive, Scope, Send
from meshwright_sdk.testing import make_request
from tests.core.asgi import apps
from tests.core.asgi.peer import chunks, turns

APPS = "tests.core.asgi.apps"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@pytest.fixture(autouse=True)
def events() -> list[str]:
    apps.events.clear()
    return apps.events


@pytest.fixture
async def shop() -> AsyncIterator[AsgiService]:
    shop = AsgiService("shop", f"{APPS}:app")
    await shop.start()
    yield shop
    await shop.close()


def handshake(path: str, **headers: str) -> Request:
    fields = {"upgrade": "websocket", "sec-websocket-version": "13", "sec-websocket-key": KEY}
    return make_request(url=path, headers=fields | {name.replace("_", "-"): each for name, each in headers.items()})


class Client:
    """A WebSocket client on a tunnel."""

    def __init__(self, tunnel: Tunnel | None) -> None:
        assert tunnel is not None
        self.tunnel = tunnel
        self.framing = Framing(ConnectionType.CLIENT)

    async def send(self, message: str | bytes) -> None:
        await self.tunnel.write(self.framing.send(message))

    async def receive(self) -> str | bytes | Close | None:
        """Return the next message or close, None at the end of the tunnel."""
        while data := await self.tunnel.read():
            messages, reply = self.framing.receive(data)
            if reply:
                await self.tunnel.write(reply)
            if messages or self.framing.closed:
                return messages[0] if messages else self.framing.closed
        return None


async def connect(shop: AsgiService, path: str = "/chat", **headers: str) -> tuple[Response, Client]:
    response = await shop.call(handshake(path, **headers))
    return response, Client(response.tunnel)


async def test_an_application_answers_with_its_state(shop: AsgiService) -> None:
    response = await shop.call(make_request(url="http://shop.test/hello/a%20b"))

    assert response.body.data == b'{"path":"/hello/a b","db":"open","host":"shop.test"}'


async def test_bodies_stream_through_the_application(shop: AsgiService) -> None:
    go_on = asyncio.Event()
    response = await shop.call(make_request("POST", "/echo", body=chunks(b"a", then=go_on)))
    reader = aiter(response.body)
    first = await anext(reader)
    go_on.set()

    assert (first, [chunk async for chunk in reader]) == (b"a", [])


async def test_a_failure_is_a_plugin_error_with_the_authors_frames_in_the_log(
    shop: AsgiService, caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("pineapple")

    with caplog.at_level(logging.ERROR), pytest.raises(PluginError) as caught:
        await AsgiService("raw", app).call(make_request())

    assert (caught.value.status, caught.value.code) == (500, "application_failed")
    assert "service raw: the application failed: KeyError: 'pineapple' (" in caplog.text
    assert "test_service.py" in caplog.text
    assert "asgi_call.py" not in caplog.text


async def test_a_starlette_failure_is_its_500_and_logged(shop: AsgiService, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = await shop.call(make_request(url="/fail"))
        await turns()

    assert response.status == 500
    assert "KeyError: 'pineapple'" in caplog.text


async def test_a_failure_midway_breaks_the_body_off(shop: AsgiService, caplog: pytest.LogCaptureFixture) -> None:
    response = await shop.call(make_request(url="/break"))
    reader = aiter(response.body)

    assert await anext(reader) == b"a"
    with caplog.at_level(logging.ERROR), pytest.raises(ResetError):
        await anext(reader)
    assert "KeyError: 'pineapple'" in caplog.text


@pytest.mark.parametrize("is_read_before", [False, True], ids=["while it is read", "after all of it was read"])
async def test_too_much_content_is_logged(is_read_before: bool, caplog: pytest.LogCaptureFixture) -> None:
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"3")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go_on.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": True})

    response = await AsgiService("raw", app).call(make_request())
    reader = aiter(response.body)
    assert await anext(reader) == b"one"
    with caplog.at_level(logging.ERROR):
        if is_read_before:
            await response.aclose()
        go_on.set()
        await turns()

        if not is_read_before:
            with pytest.raises(ResetError):
                await anext(reader)

    text = (
        "service raw: the application failed: RuntimeError: asgi: expected 3 bytes as in content-length; got 6 or more"
    )
    assert text in caplog.text


async def test_an_application_that_ends_after_all_it_declared_was_read_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on = asyncio.Event()
    messages: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"3")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go_on.wait()
        messages.append(await receive())
        await send({"type": "http.response.body", "body": b""})

    response = await AsgiService("raw", app).call(make_request())
    assert await anext(aiter(response.body)) == b"one"
    await response.aclose()
    go_on.set()
    await turns()

    assert (caplog.text, messages) == ("", [{"type": "http.disconnect"}])


async def test_no_answer_is_a_plugin_error(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    with pytest.raises(PluginError):
        await AsgiService("raw", app).call(make_request())
    assert "ended before it answered" in caplog.text


async def test_an_application_that_never_answers_is_late() -> None:
    late = AsgiService("late", f"{APPS}:app", response_timeout_s=0.0)
    await late.start()

    with pytest.raises(UpstreamTimeoutError):
        await late.call(make_request(url="/never"))

    assert late.in_flight == 0


async def test_a_timeout_of_the_applications_own_is_its_failure() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise TimeoutError

    with pytest.raises(PluginError):
        await AsgiService("raw", app).call(make_request())


async def test_what_the_request_body_raises_is_passed_on() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    broken = make_request("POST", body=chunks(error=DownstreamError("bad chunk")))

    with pytest.raises(DownstreamError, match="bad chunk"):
        await AsgiService("raw", app).call(broken)


async def test_requests_are_counted_until_their_response_ends(shop: AsgiService) -> None:
    request = make_request(url="/hello/x")
    response = await shop.call(request)
    during = shop.status()
    response.settle()

    assert during == {"name": "shop", "app": f"{APPS}:app", "endpoints": [], "requests": 1, "in_flight": 1}
    assert (shop.in_flight, request.answers) == (0, [response])


async def test_hop_by_hop_headers_end_at_the_application() -> None:
    response = await AsgiService("raw", f"{APPS}:hop_by_hop").call(make_request())

    assert response.headers.raw == [(b"x-kept", b"1")]


async def test_work_after_the_answer_is_finished_before_the_shutdown(events: list[str]) -> None:
    shop = AsgiService("shop", f"{APPS}:app")
    await shop.start()
    (await shop.call(make_request(url="/later"))).settle()
    await shop.close()

    assert events == ["up", "worked", "down"]


async def test_a_startup_that_fails_is_a_problem_of_the_configuration() -> None:
    with pytest.raises(
        ConfigError, match=r"services\.shop\.app: expected .*:broken to start; got RuntimeError: no data"
    ):
        await AsgiService("shop", f"{APPS}:broken").start()


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("no.such:app", r"services\.shop\.app: expected .*no\.such"),
        (f"{APPS}:ap", r"no such name \(.*app"),
        (f"{APPS}:NOT_AN_APP", "to be an ASGI application; got int"),
    ],
)
def test_an_application_that_cannot_be_had_is_a_problem(reference: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        AsgiService("shop", reference)


def test_an_application_beside_the_configuration_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setattr(sys, "path", sys.path.copy())
    (tmp_path / "shop_beside.py").write_text("async def app(scope, receive, send): ...\n")

    shop = AsgiService("shop", "shop_beside:app", base_dir=tmp_path)

    assert shop.status()["app"] == "shop_beside:app"


# WebSockets


async def test_a_websocket_endpoint_talks_through_the_tunnel(shop: AsgiService) -> None:
    response, client = await connect(shop, "http://shop.test/chat", sec_websocket_protocol="other, chat")

    await client.send("hello")
    answer = await client.receive()
    await response.aclose()

    assert (response.status, response.headers["x-app"]) == (101, "1")
    assert response.headers["sec-websocket-accept"] == accept_key(KEY.encode()).decode()
    assert (response.headers["sec-websocket-protocol"], answer) == ("chat", "/chat ws hello")


async def test_the_application_closes(shop: AsgiService) -> None:
    _, client = await connect(shop)

    await client.send("close")

    assert [await client.receive(), await client.receive()] == [Close(4003, "as you wish"), None]


async def test_the_client_closes(shop: AsgiService, events: list[str]) -> None:
    _, client = await connect(shop)

    await client.tunnel.write(client.framing.close(1000, "bye"))
    answer = await client.receive()
    end = await client.receive()
    await turns()

    assert (answer, end, events[-1]) == (Close(1000, "bye"), None, "left")


async def test_a_client_that_breaks_off_is_told_to_the_application(shop: AsgiService, events: list[str]) -> None:
    response, client = await connect(shop)

    await response.aclose()
    await turns()

    assert (events[-1], await client.tunnel.read()) == ("left", b"")
    with pytest.raises(ResetError):
        await client.send("late")


async def test_an_endpoint_that_fails_closes_with_1011(shop: AsgiService, caplog: pytest.LogCaptureFixture) -> None:
    _, client = await connect(shop)

    with caplog.at_level(logging.ERROR):
        await client.send("fail")
        closed = await client.receive()

    assert isinstance(closed, Close)
    assert closed.code == 1011
    assert "KeyError: 'pineapple'" in caplog.text


async def test_an_endpoint_that_returns_closes_with_1000(shop: AsgiService) -> None:
    _, client = await connect(shop, "/silent")

    assert await client.receive() == Close(1000, "")


async def test_a_client_that_never_answers_the_close_is_let_go(
    shop: AsgiService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_socket, "CLOSE_WAIT_S", 0.0)
    response, client = await connect(shop, "/silent")
    assert response.tunnel is not None

    frame, end = await client.tunnel.read(), await client.tunnel.read()

    assert (frame[:1], end) == (b"\x88", b"")


async def test_a_refused_websocket_is_a_403(shop: AsgiService) -> None:
    response = await shop.call(handshake("/closed"))

    assert (response.status, response.tunnel) == (403, None)


async def test_a_denial_response_is_passed_on(shop: AsgiService) -> None:
    response = await shop.call(handshake("/denied"))

    assert (response.status, response.body.data, response.tunnel) == (402, b"members only", None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec_websocket_version": "8"}, 426),
        ({"sec_websocket_key": "short"}, 400),
        ({"sec_websocket_key": "%%%"}, 400),
    ],
)
async def test_a_wrong_handshake_is_refused(shop: AsgiService, headers: dict[str, str], status: int) -> None:
    with pytest.raises(DownstreamError) as caught:
        await shop.call(handshake("/chat", **headers))

    assert caught.value.status == status


async def test_a_client_waits_for_an_application_that_does_not_receive() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    response, client = await connect(AsgiService("raw", app))
    writes = asyncio.get_running_loop().create_task(_flood(client))
    await turns(3000)

    assert not writes.done()
    await response.aclose()
    with pytest.raises(ResetError):
        await writes


async def test_both_directions_of_a_websocket_are_bounded() -> None:
    sent = 0
    go_on = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        await send({"type": "websocket.accept"})
        for _ in range(1000):
            await send({"type": "websocket.send", "bytes": bytes(1000)})
            sent += 1
        await go_on.wait()

    response, client = await connect(AsgiService("raw", app))
    await turns(3000)
    writes = asyncio.get_running_loop().create_task(_flood(client))
    await turns(3000)

    assert sent < 100
    assert not writes.done()
    await response.aclose()
    with pytest.raises(ResetError):
        await writes


async def _flood(client: Client) -> None:
    for _ in range(1000):
        await client.send(bytes(1000))


async def test_an_application_that_ignores_its_clients_departure_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_socket, "LINGER_S", 0.0)
    ended = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    response, _ = await connect(AsgiService("raw", app))
    await response.aclose()

    await ended.wait()


@pytest.mark.parametrize(
    "messages",
    [
        [{"type": "websocket.send", "text": "x"}],
        [{"type": "websocket.accept"}, {"type": "websocket.accept"}],
        [{"type": "websocket.accept"}, {"type": "websocket.close"}, {"type": "websocket.send", "text": "x"}],
    ],
)
async def test_messages_out_of_order_are_the_applications_failure(
    messages: list[dict[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    raw: App = app
    with caplog.at_level(logging.ERROR):
        with suppress(PluginError):
            await AsgiService("raw", raw).call(handshake("/"))
        await turns()

    assert "RuntimeError: asgi: expected" in caplog.text


async def test_closing_the_service_ends_its_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "CLOSE_WAIT_S", 0.01)
    shop = AsgiService("shop", f"{APPS}:app")
    await shop.start()
    _, client = await connect(shop)

    await shop.close()

    assert await client.receive() == Close(1001, "")
