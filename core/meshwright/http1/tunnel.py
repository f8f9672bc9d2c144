"""`carry`: the bytes of a tunnel between a client's connection and what switched protocols; no HTTP goes in here."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from meshwright.http1.stream import BodyStream
from meshwright_sdk.errors import MeshwrightError
from meshwright_sdk.response import Tunnel


async def carry(source: BodyStream, tunnel: Tunnel, write: Callable[[bytes], Awaitable[None]]) -> None:
    """Carry bytes both ways until one end closes; raises ResetError when the far end breaks off.

    `write` sends to the client and returns when there is room for more.
    """
    inwards = asyncio.get_running_loop().create_task(_carry_inwards(source, tunnel), name="tunnel inwards")
    try:
        while data := await tunnel.read():
            await write(data)
    finally:
        inwards.cancel()


async def _carry_inwards(source: BodyStream, tunnel: Tunnel) -> None:
    try:
        async for data in source:
            await tunnel.write(data)
    except MeshwrightError:
        tunnel.close()
