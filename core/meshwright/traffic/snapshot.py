"""`Snapshot`: one configuration, built and ready to serve; building it goes elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from meshwright.traffic.counts import LiveRoute, Users
from meshwright.traffic.parts import Part
from meshwright_sdk.balancing import Endpoint
from meshwright_sdk.filters import CallNext
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.routing import AnyRouter

if TYPE_CHECKING:
    from meshwright.config.loader import LoadedConfig
    from meshwright.plugin_host.registry import Registry


class Upstream(Protocol):
    """A service as the chain sees it: HTTP endpoints behind a balancer, or an ASGI application."""

    name: str

    @property
    def call(self) -> Callable[[Request], Awaitable[Response]]:
        """Send a request and return its response; raises UpstreamError."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints as they are now; none for an application in the same process."""

    def status(self) -> dict[str, Any]:
        """Return what the admin API shows of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One version of the configuration with all it needs; it never changes, only its parts' own state does.

    `calls` are the services with their filters around them. `changes` are to be made in parts that it takes over, when
    it is served. `unrouted` takes the requests that no route takes, so that the filters of every route see them too.
    """

    version: int
    config: LoadedConfig
    registry: Registry
    router: AnyRouter
    routes: tuple[LiveRoute, ...]
    unrouted: LiveRoute
    services: Mapping[str, Upstream]
    calls: Mapping[str, CallNext]
    parts: tuple[Part, ...]
    changes: tuple[Callable[[], None], ...] = ()
    users: Users = field(default_factory=Users)

    def pieces(self) -> list[object]:
        """Return what most of its memory is in, for whoever frees it bit by bit."""
        return [*self.routes, *self.parts, *self.config.pieces()]
