"""An ASGI server's side of one connection, for tests: messages to give, messages that came."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from meshwright_sdk import Request, ResetError, Response
from meshwright_sdk.asgi import App, Message, Scope

Answer = Callable[[Request], Awaitable[Response]]


class Peer:
    """Gives `messages` to the application, then keeps it waiting until `put`; keeps what it sends."""

    def __init__(self, *messages: Message) -> None:
        self._inbound: asyncio.Queue[Message] = asyncio.Queue()
        self._arrived = asyncio.Event()
        self.sent: list[Message] = []
        self.asked = 0
        for message in messages:
            self.put(message)

    def put(self, message: Message) -> None:
        self._inbound.put_nowait(message)

    async def receive(self) -> Message:
        self.asked += 1
        return await self._inbound.get()

    async def send(self, message: Message) -> None:
        self.sent.append({**message, "headers": list(message["headers"])} if "headers" in message else message)
        self._arrived.set()

    async def wait_for(self, kind: str, count: int = 1) -> Message:
        """Return the message number `count` of that type, once it was sent."""
        while True:
            found = [message for message in self.sent if message["type"] == kind]
            if len(found) >= count:
                return found[count - 1]
            self._arrived.clear()
            await self._arrived.wait()

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def complete(self) -> bool:
        return bool(self.sent) and self.sent[-1].get("more_body") is False

    def start(self, app: App, scope: Scope) -> asyncio.Task[None]:
        """Run the application beside the test."""

        async def run() -> None:
            await app(scope, self.receive, self.send)

        return asyncio.get_running_loop().create_task(run())


def http_scope(method: str = "GET", path: str = "/", **changes: Any) -> Scope:
    scope: Scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"Shop.Test:8080")],
        "client": ("192.0.2.1", 40000),
        "server": ("127.0.0.1", 8080),
    }
    return {**scope, **changes}


def websocket_scope(path: str = "/", **changes: Any) -> Scope:
    scope = http_scope(path=path, type="websocket", scheme="ws", subprotocols=[])
    del scope["method"]
    return {**scope, **changes}


def content(body: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


async def turns(count: int = 20) -> None:
    """Let everything else run until it waits."""
    for _ in range(count):
        await asyncio.sleep(0)


class FakeGateway:
    """Stands for a gateway: keeps the requests and the ends of its responses, and answers by a function."""

    def __init__(self, answer: Answer | None = None) -> None:
        self._answer = answer or self._ok
        self.requests: list[Request] = []
        self.ends: list[BaseException | None] = []
        self.cancelled = 0

    async def _ok(self, request: Request) -> Response:
        return Response.text("ok")

    async def handle(self, request: Request) -> Response:
        self.requests.append(request)
        try:
            response = await self._answer(request)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        response.on_close(self.ends.append)
        return response


class Pipe:
    """Two tunnels, each the other's far side."""

    def __init__(self) -> None:
        there: asyncio.Queue[bytes] = asyncio.Queue(4)
        back: asyncio.Queue[bytes] = asyncio.Queue(4)
        self.near = PipeEnd(there, back)
        self.far = PipeEnd(back, there)


class PipeEnd:
    """One end of a `Pipe`, a tunnel."""

    def __init__(self, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._open = True
        self.broken = False

    async def read(self) -> bytes:
        data = await self._incoming.get() if self._open else b""
        if data == b"!":
            raise ResetError("the peer broke off")
        return data

    async def write(self, data: bytes) -> None:
        if not self._open:
            raise ResetError("closed")
        await self._outgoing.put(data)

    def close(self) -> None:
        if self._open:
            self._open = False
            for queue in (self._outgoing, self._incoming):
                if not queue.full():
                    queue.put_nowait(b"")


async def chunks(
    *data: bytes, then: asyncio.Event | None = None, error: Exception | None = None
) -> AsyncIterator[bytes]:
    """Yield `data`; then wait for `then`, or raise `error`."""
    for chunk in data:
        yield chunk
    if then is not None:
        await then.wait()
    if error is not None:
        raise error
