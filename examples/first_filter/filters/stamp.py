"""`stamp`: the shortest filter there is, an async function without options."""

from __future__ import annotations

from meshwright_sdk import CallNext, Request, Response, filter


@filter
async def stamp(request: Request, call_next: CallNext) -> Response:
    """Put a stamp on what goes in and on what comes out."""
    request.headers["x-stamp"] = "seen"
    response = await call_next(request)
    response.headers["x-stamp"] = "seen"
    return response
