"""The old application, which knows nothing of the new one."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


async def show_invoice(request: Request) -> Response:
    return JSONResponse(
        {
            "invoice": request.path_params["number"],
            "from": "the old application",
            "request_id": request.headers["x-request-id"],
        }
    )


app = Starlette(routes=[Route("/invoices/{number}", show_invoice)])
