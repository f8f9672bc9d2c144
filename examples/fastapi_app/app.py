"""A FastAPI application with a gateway inside: what it does not do itself yet goes to the old application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

from meshwright.asgi import GatewayApp

gateway = GatewayApp(Path(__file__).with_name("gateway.yaml"))


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Start and close the gateway with the application: a mounted one gets no lifespan of its own."""
    async with gateway:
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/orders/{number}")
async def show_order(number: int) -> dict[str, str | int]:
    """Serve what is already moved here."""
    return {"order": number, "from": "the new application"}


app.mount("/old", gateway)
