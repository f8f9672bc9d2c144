"""The shop's services — order, payment, logistics — as small applications; they know nothing of the gateway.

`python -m meshwright.demo.services NAME` serves one on a free port and writes the port to stdout. It ends when its
standard input does, so that it never outlives the demo.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import AsyncIterator

import aiohttp
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

EVENT_PAUSE_S = 0.5
_PLACES = ("warehouse", "harbour", "your street", "your door")


async def show_order(request: Request) -> Response:
    """Tell what was ordered, and which tenant the gateway said is asking."""
    number, tenant = request.path_params["number"], request.headers.get("x-tenant")
    return JSONResponse({"service": "order", "order": number, "items": ["tea"], "tenant": tenant})


async def take_order(request: Request) -> Response:
    """Take an order: have it paid and sent, both through the gateway."""
    item = (await request.json()).get("item", "tea")
    async with aiohttp.ClientSession(os.environ["GATEWAY_URL"]) as gateway:
        async with gateway.post("/payments", json={"item": item}) as paid:
            payment = await paid.json()
        async with gateway.get("/shipments/7") as sent:
            shipment = await sent.json()
    return JSONResponse({"service": "order", "item": item, "payment": payment, "shipment": shipment}, status_code=201)


async def show_next_order(request: Request) -> Response:
    """Tell what was ordered, as the order service's next version will."""
    return JSONResponse({"service": "order-next", "order": request.path_params["number"], "items": [{"tea": 1}]})


async def pay(request: Request) -> Response:
    """Take money; any amount will do."""
    return JSONResponse({"service": "payment", "instance": request.app.state.instance, "paid": True})


async def show_shipment(request: Request) -> Response:
    """Tell where a parcel is."""
    return JSONResponse({"service": "logistics", "shipment": request.path_params["number"], "at": _PLACES[0]})


async def follow_shipment(request: Request) -> Response:
    """Send an event whenever the parcel has moved."""
    return StreamingResponse(_moves(request.path_params["number"]), media_type="text/event-stream")


async def _moves(number: str) -> AsyncIterator[str]:
    for place in _PLACES:
        yield f"data: {json.dumps({'shipment': number, 'at': place})}\n\n"
        await asyncio.sleep(EVENT_PAUSE_S)


order = Starlette(
    routes=[
        Route("/orders", take_order, methods=["POST"]),
        Route("/orders/{number}", show_order),
    ]
)
order_next = Starlette(routes=[Route("/orders/{number}", show_next_order)])
payment = Starlette(routes=[Route("/payments", pay, methods=["GET", "POST"])])
logistics = Starlette(
    routes=[Route("/shipments/{number}", show_shipment), Route("/shipments/{number}/events", follow_shipment)]
)
SERVICES = {"order": order, "payment": payment, "logistics": logistics}


async def serve(app: Starlette) -> None:
    """Serve `app` on a free port of the loopback until standard input ends."""
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    bound.listen(128)
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="warning", timeout_graceful_shutdown=1))
    sys.stdout.write(f"{bound.getsockname()[1]}\n")
    sys.stdout.flush()

    def end() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            asyncio.get_running_loop().remove_reader(sys.stdin)
            server.should_exit = True

    asyncio.get_running_loop().add_reader(sys.stdin, end)
    await server.serve(sockets=[bound])


def main(name: str, instance: str = "1") -> None:
    """Serve the service of that name."""
    app = SERVICES[name]
    app.state.instance = instance
    asyncio.run(serve(app))


if __name__ == "__main__":
    main(*sys.argv[1:])
