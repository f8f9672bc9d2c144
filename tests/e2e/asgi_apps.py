"""Applications that the ASGI servers of the tests run: the gateway, the gateway mounted, and an upstream."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from meshwright.asgi import GatewayApp
from meshwright_sdk.asgi import Receive, Scope, Send

gateway = GatewayApp(os.environ.get("GATEWAY_FILE", "gateway.yaml"))
host = Starlette(routes=[Mount("/gw", app=GatewayApp(os.environ.get("GATEWAY_FILE", "gateway.yaml")))])

_seen: list[str] = []
_released: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


async def seen(request: Request) -> Response:
    return JSONResponse(_seen)


async def release(request: Request) -> Response:
    _released[request.query_params["id"]].set()
    return PlainTextResponse("released")


async def hello(request: Request) -> Response:
    return JSONResponse({"path": request.url.path, "query": request.url.query, "headers": dict(request.headers)})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


async def events(request: Request) -> Response:
    name = request.query_params["id"]

    async def stream() -> AsyncIterator[str]:
        try:
            yield "data: one\n\n"
            await _released[name].wait()
            yield "data: two\n\n"
        except asyncio.CancelledError:
            _seen.append(f"left {name}")
            raise

    return StreamingResponse(stream(), media_type="text/event-stream")


async def slow(request: Request) -> Response:
    name = request.query_params["id"]
    _seen.append(f"came {name}")
    while not await request.is_disconnected():  # noqa: ASYNC110 - Starlette can only be asked
        await asyncio.sleep(0.01)
    _seen.append(f"left {name}")
    return PlainTextResponse("nobody reads this")


async def break_off(request: Request) -> Response:
    async def stream() -> AsyncIterator[bytes]:
        yield b"a part"
        await asyncio.sleep(0.05)
        raise ConnectionError("on purpose")

    headers = {"content-length": "100"} if "length" in request.query_params else {}
    return StreamingResponse(stream(), headers=headers)


async def unchanged(request: Request) -> Response:
    return Response(status_code=304, headers={"etag": '"1"'})


async def chat(socket: WebSocket) -> None:
    await socket.accept("chat" if "chat" in socket.scope["subprotocols"] else None, headers=[(b"x-chat", b"1")])
    try:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"], message.get("reason"))
            if message.get("text") == "close":
                await socket.close(4002, "as you wish")
                return
            await socket.send({**message, "type": "websocket.send"})
    except WebSocketDisconnect as left:
        _seen.append(f"closed {left.code} {left.reason}")


upstream = Starlette(
    routes=[
        Route("/seen", seen),
        Route("/release", release),
        Route("/hello/{rest:path}", hello),
        Mount("/echo", app=echo),
        Route("/events", events),
        Route("/slow", slow),
        Route("/break", break_off),
        Route("/unchanged", unchanged),
        WebSocketRoute("/chat", chat),
    ]
)
