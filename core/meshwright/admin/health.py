"""`/livez` and `/readyz`: one word each, for orchestrators; what is behind it is told elsewhere."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse

from meshwright.processes.control import Control


async def livez(request: Request) -> PlainTextResponse:
    """Answer that the process runs."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> PlainTextResponse:
    """Answer whether traffic should be sent here: not before the first worker serves, and not once it drains."""
    control: Control = request.app.state.control
    if control.ready:
        return PlainTextResponse("ok\n")
    return PlainTextResponse("draining\n" if control.draining else "starting\n", status_code=503)
