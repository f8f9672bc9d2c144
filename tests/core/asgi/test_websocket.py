"""WebSockets of an ASGI server, bridged to the tunnel behind an upstream's 101."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from wsproto.connection import ConnectionType

from meshwright.asgi import websocket as module
from meshwright.asgi.framing import Close, Framing, accept_key
from meshwright.asgi.inbox import Watch
from meshwright.asgi.websocket import Bridge, serve_websocket
from meshwright_sdk import Request, Response, Tasks
from meshwright_sdk.asgi import App, Message, Receive, Scope, Send
from tests.core.asgi.peer import FakeGateway, Peer, Pipe, chunks, turns, websocket_scope

CONNECT = {"type": "websocket.connect"}
EXTENSION: dict[str, Any] = {"websocket.http.response": {}}


def text(data: str) -> Message:
    return {"type": "websocket.receive", "text": data}


def disconnect(code: int, reason: str = "") -> Message:
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


class Upstream:
    """The far side of a tunnel: a WebSocket server that a test drives by hand."""

    def __init__(self) -> None:
        self.pipe = Pipe()
        self.tunnel = self.pipe.near
        self._framing = Framing(ConnectionType.SERVER)

    @property
    def closed(self) -> Close | None:
        return self._framing.closed

    async def answer(self, request: Request, **headers: str) -> Response:
        key = request.headers["sec-websocket-key"].encode()
        fields = {"sec-websocket-accept": accept_key(key).decode(), "x-up": "1", "date": "x"} | headers
        response = Response(101, {name.replace("_", "-"): value for name, value in fields.items()})
        response.tunnel = self.tunnel
        return response

    async def send(self, message: str | bytes) -> None:
        await self.pipe.far.write(self._framing.send(message))

    async def close(self, code: int, reason: str = "") -> None:
        await self.pipe.far.write(self._framing.close(code, reason))

    async def receive(self) -> list[str | bytes]:
        """Return what came, answering what needs an answer; at the end of the tunnel an empty list."""
        messages, reply = self._framing.receive(await self.pipe.far.read())
        if reply:
            await self.pipe.far.write(reply)
        return messages


def app_of(gateway: FakeGateway) -> App:
    watch = Watch(Tasks(), interval_s=0.0)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await serve_websocket(gateway.handle, watch, scope, receive, send)

    return app


def connected(upstream: Upstream, **scope: Any) -> tuple[Peer, FakeGateway, asyncio.Task[None]]:
    gateway, peer = FakeGateway(upstream.answer), Peer(CONNECT)
    return peer, gateway, peer.start(app_of(gateway), websocket_scope(**scope))


async def refused(answer: Callable[[Request], Response], **scope: Any) -> tuple[Peer, FakeGateway]:
    async def respond(request: Request) -> Response:
        return answer(request)

    gateway, peer = FakeGateway(respond), Peer(CONNECT)
    await app_of(gateway)(websocket_scope(**scope), peer.receive, peer.send)
    return peer, gateway


async def test_messages_pass_both_ways() -> None:
    upstream = Upstream()
    peer, _, task = connected(upstream)

    peer.put(text("up"))
    peer.put({"type": "websocket.receive", "bytes": b"\x00"})
    up = [await upstream.receive(), await upstream.receive()]
    await upstream.send("down")
    await upstream.send(b"\xff")
    await peer.wait_for("websocket.send", 2)
    peer.put(disconnect(1000))
    await upstream.receive()
    await task

    assert up == [["up"], [b"\x00"]]
    assert [message.get("text", message.get("bytes")) for message in peer.sent[1:]] == ["down", b"\xff"]


async def test_the_accept_carries_the_upstreams_choice_and_headers() -> None:
    upstream = Upstream()
    gateway = FakeGateway(lambda request: upstream.answer(request, sec_websocket_protocol="b"))
    peer = Peer(CONNECT)
    task = peer.start(app_of(gateway), websocket_scope(subprotocols=["a", "b"]))

    accept = await peer.wait_for("websocket.accept")
    peer.put(disconnect(1006))
    await task

    assert (accept["subprotocol"], accept["headers"]) == ("b", [(b"x-up", b"1")])


async def test_how_the_client_closes_is_told_to_the_upstream() -> None:
    upstream = Upstream()
    peer, gateway, task = connected(upstream)
    await peer.wait_for("websocket.accept")

    peer.put(disconnect(4001, "bye"))
    await upstream.receive()
    await task

    assert (upstream.closed, gateway.ends) == (Close(4001, "bye"), [None])
    assert [message["type"] for message in peer.sent] == ["websocket.accept"]


async def test_how_the_upstream_closes_is_told_to_the_client() -> None:
    upstream = Upstream()
    peer, gateway, task = connected(upstream)

    await upstream.close(4002, "enough")
    await task
    await upstream.receive()

    assert peer.sent[-1] == {"type": "websocket.close", "code": 4002, "reason": "enough"}
    assert (upstream.closed, gateway.ends) == (Close(4002, "enough"), [None])


@pytest.mark.parametrize("last_words", [b"", b"!"], ids=["end", "reset"])
async def test_an_upstream_that_breaks_off_closes_the_client_with_1011(last_words: bytes) -> None:
    upstream = Upstream()
    peer, gateway, task = connected(upstream)

    await upstream.pipe.far.write(last_words)
    await task

    assert peer.sent[-1] == {"type": "websocket.close", "code": 1011, "reason": ""}
    assert len(gateway.ends) == 1


async def test_a_client_that_breaks_off_leaves_no_close_behind() -> None:
    upstream = Upstream()
    peer, _, task = connected(upstream)
    await peer.wait_for("websocket.accept")

    peer.put(disconnect(1006))
    await task

    assert await upstream.pipe.far.read() == b""


async def test_an_upstream_that_never_answers_a_close_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CLOSE_WAIT_S", 0.0)
    peer, gateway, task = connected(Upstream())
    await peer.wait_for("websocket.accept")

    peer.put(disconnect(1000))
    await task

    assert len(gateway.ends) == 1


async def test_a_client_waits_for_a_slow_upstream() -> None:
    upstream = Upstream()
    peer, _, task = connected(upstream)
    for _ in range(100):
        peer.put(text("x"))

    await turns(500)
    taken = peer.asked
    task.cancel()

    assert taken < 20


async def test_a_message_above_the_bound_closes_both_sides() -> None:
    upstream, peer = Upstream(), Peer()
    bridge = Bridge(upstream.tunnel, _inbox(peer), peer.send, max_message_bytes=10)

    await upstream.send("x" * 11)
    await bridge.run()
    await upstream.receive()

    assert peer.sent[-1]["code"] == 1009
    assert upstream.closed is not None
    assert upstream.closed.code == 1009


def _inbox(peer: Peer) -> Any:
    class Endless:
        async def receive(self) -> Message:
            return await peer.receive()

    return Endless()


async def test_a_server_that_refuses_to_send_means_that_the_client_is_gone() -> None:
    class Broken(Peer):
        async def send(self, message: Message) -> None:
            if message["type"] == "websocket.send":
                raise BrokenPipeError
            await super().send(message)

    upstream = Upstream()
    gateway, peer = FakeGateway(upstream.answer), Broken(CONNECT)
    task = peer.start(app_of(gateway), websocket_scope())

    await upstream.send("x")
    await task

    assert len(gateway.ends) == 1
    assert await upstream.pipe.far.read() == b""


async def test_a_refusal_before_the_accept_is_a_close() -> None:
    peer, gateway = await refused(lambda request: Response(404, None, chunks(b"no")))

    assert [message["type"] for message in peer.sent] == ["websocket.close"]
    assert gateway.ends == [None]


async def test_a_refusal_is_passed_on_whole_where_the_server_can() -> None:
    peer, gateway = await refused(lambda request: Response(404, {"x-why": "1"}, b"no"), extensions=EXTENSION)

    assert [message["type"] for message in peer.sent] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert (peer.status, peer.headers, peer.body) == (404, {b"x-why": b"1", b"content-length": b"2"}, b"no")
    assert gateway.ends == [None]


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_websocket_accept": "wrong"},
        {"sec_websocket_protocol": "c"},
        {"sec_websocket_extensions": "permessage-deflate"},
    ],
)
async def test_an_upstream_that_answers_wrongly_is_a_502(headers: dict[str, str]) -> None:
    upstream = Upstream()
    gateway = FakeGateway(lambda request: upstream.answer(request, **headers))
    peer = Peer(CONNECT)

    await app_of(gateway)(websocket_scope(subprotocols=["a", "b"], extensions=EXTENSION), peer.receive, peer.send)

    assert (peer.status, b"upstream_protocol_error" in peer.body) == (502, True)
    assert len(gateway.ends) == 1
    assert await upstream.pipe.far.read() == b""


async def test_a_refusal_with_a_status_that_no_server_sends_becomes_a_500() -> None:
    peer, gateway = await refused(lambda request: Response(99999, None, b"no"), extensions=EXTENSION)

    assert (peer.status, len(gateway.ends)) == (500, 1)


async def test_a_bad_request_is_refused_without_the_gateway() -> None:
    gateway, peer = FakeGateway(), Peer(CONNECT)

    await app_of(gateway)(websocket_scope(path="/../x", extensions=EXTENSION), peer.receive, peer.send)

    assert (peer.status, gateway.requests) == (400, [])


async def test_a_client_that_leaves_during_the_handshake_cancels_it() -> None:
    async def never(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    gateway, peer = FakeGateway(never), Peer(CONNECT, disconnect(1006))

    await app_of(gateway)(websocket_scope(), peer.receive, peer.send)

    assert (gateway.cancelled, peer.sent) == (1, [])


async def test_what_the_client_sends_during_a_slow_handshake_is_kept() -> None:
    upstream, go_on = Upstream(), asyncio.Event()

    async def slow(request: Request) -> Response:
        await go_on.wait()
        return await upstream.answer(request)

    peer = Peer(CONNECT, text("early"), disconnect(1000))
    task = peer.start(app_of(FakeGateway(slow)), websocket_scope())
    await turns()
    go_on.set()
    got = await upstream.receive()
    await upstream.receive()
    await task

    assert got == ["early"]


async def test_a_cancelled_server_closes_the_tunnel() -> None:
    upstream = Upstream()
    peer, gateway, task = connected(upstream)
    await peer.wait_for("websocket.accept")

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert (len(gateway.ends), await upstream.pipe.far.read()) == (1, b"")
