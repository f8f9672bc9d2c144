"""ASGI applications that the tests serve through the gateway, also by their import path."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from meshwright_sdk.asgi import Receive, Scope, Send

events: list[str] = []
NOT_AN_APP = 3


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    events.append("up")
    yield {"db": "open"}
    events.append("down")


async def hello(request: Request) -> Response:
    return JSONResponse({"path": request.url.path, "db": request.state.db, "host": request.headers["host"]})


async def echo(request: Request) -> Response:
    return StreamingResponse(request.stream())


async def fail(request: Request) -> Response:
    raise KeyError("pineapple")


async def break_off(request: Request) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        raise KeyError("pineapple")

    return StreamingResponse(chunks())


async def later(request: Request) -> Response:
    async def work() -> None:
        await asyncio.sleep(0)
        events.append("worked")

    return PlainTextResponse("ok", background=BackgroundTask(work))


async def never(request: Request) -> Response:
    await asyncio.Event().wait()
    raise AssertionError


async def chat(socket: WebSocket) -> None:
    await socket.accept(
        subprotocol="chat" if "chat" in socket.scope["subprotocols"] else None, headers=[(b"x-app", b"1")]
    )
    async for message in socket.iter_text():
        if message == "close":
            await socket.close(4003, "as you wish")
            return
        if message == "fail":
            raise KeyError("pineapple")
        await socket.send_text(f"{socket.url.path} {socket.scope['scheme']} {message}")
    events.append("left")


async def closed(socket: WebSocket) -> None:
    await socket.close()


async def denied(socket: WebSocket) -> None:
    await socket.send_denial_response(PlainTextResponse("members only", 402))


async def silent(socket: WebSocket) -> None:
    await socket.accept()


app = Starlette(
    lifespan=lifespan,
    routes=[
        Route("/hello/{rest:path}", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/fail", fail),
        Route("/break", break_off),
        Route("/later", later),
        Route("/never", never),
        WebSocketRoute("/chat", chat),
        WebSocketRoute("/closed", closed),
        WebSocketRoute("/denied", denied),
        WebSocketRoute("/silent", silent),
    ],
)


@asynccontextmanager
async def refusing(app: Starlette) -> AsyncIterator[None]:
    if not app.routes:
        raise RuntimeError("no database")
    yield


broken = Starlette(lifespan=refusing)


async def hop_by_hop(scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(b"Keep-Alive", b"timeout=5"), (b"connection", b"x"), (b"x-kept", b"1")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})
