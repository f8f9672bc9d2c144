"""A shop in three services: order (and its next version), payment, logistics. `uvicorn services:order --port 8001`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route


def order_service(version: str) -> Starlette:
    """Return the order service in one of its versions."""

    async def show(request: Request) -> Response:
        return JSONResponse({"order": request.path_params["number"], "version": version})

    async def take(request: Request) -> Response:
        return JSONResponse({"taken": await request.json(), "version": version}, status_code=201)

    return Starlette(routes=[Route("/orders", take, methods=["POST"]), Route("/orders/{number}", show)])


async def pay(request: Request) -> Response:
    return JSONResponse({"paid": True, "instance": os.environ.get("INSTANCE", "1")})


async def show_shipment(request: Request) -> Response:
    return JSONResponse({"shipment": request.path_params["number"], "at": "harbour"})


async def follow_shipment(request: Request) -> Response:
    async def moves() -> AsyncIterator[str]:
        for place in ("warehouse", "harbour", "your door"):
            yield f"data: {place}\n\n"
            await asyncio.sleep(0.2)

    return StreamingResponse(moves(), media_type="text/event-stream")


order = order_service("v1")
order_v2 = order_service("v2")
payment = Starlette(routes=[Route("/payments", pay, methods=["POST"])])
logistics = Starlette(
    routes=[Route("/shipments/{number}", show_shipment), Route("/shipments/{number}/events", follow_shipment)]
)
