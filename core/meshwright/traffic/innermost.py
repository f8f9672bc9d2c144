"""What the innermost filter of a route calls: services, or the answer that there is none; filters go elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from meshwright.config.model import RouteConfig
from meshwright.traffic.split import split_of
from meshwright_sdk.errors import NoRouteError
from meshwright_sdk.filters import CallNext
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response


def innermost_of(name: str, config: RouteConfig, calls: Mapping[str, CallNext]) -> CallNext:
    """Return what is inside of all filters of the route of that name; `calls` are the services' by name."""
    if not config.to:
        return partial(_unanswered, name)
    if len(config.to) == 1:
        return calls[config.to[0].service]
    return split_of(config, calls.__getitem__)


async def refuse_unrouted(request: Request) -> Response:
    """Refuse a request that no route takes; raises NoRouteError."""
    raise NoRouteError(f"no route matches {request.method} {request.host}{request.path}")


async def _unanswered(name: str, request: Request) -> Response:
    raise NoRouteError(f"route {name}: it names no service, and no filter has answered", code="no_service")
