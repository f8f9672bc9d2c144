"""The shop's own filter."""

from __future__ import annotations

from meshwright_sdk import CallNext, Request, Response, filter


@filter
async def answered_by(request: Request, call_next: CallNext) -> Response:
    """Tell the client which endpoint has answered."""
    response = await call_next(request)
    if response.endpoint is not None:
        response.headers["x-answered-by"] = response.endpoint.url
    return response
