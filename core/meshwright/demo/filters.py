"""The demo's own filter: change it while the demo runs, and the next request sees it."""

from __future__ import annotations

from meshwright_sdk import CallNext, Request, Response, filter


@filter
async def stamp(request: Request, call_next: CallNext) -> Response:
    """Tell the shop whose request it is, and the client who has answered."""
    request.headers["x-tenant"] = request.query_params.get("tenant", "acme")
    response = await call_next(request)
    response.headers["x-answered-by"] = response.endpoint.url if response.endpoint else "the gateway"
    return response
