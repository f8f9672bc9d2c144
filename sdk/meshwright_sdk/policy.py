"""`EndpointPolicy`: who takes a service's endpoints out, brings them back and weighs them; choosing is a balancer's."""

from __future__ import annotations

from typing import Any, Protocol

from meshwright_sdk.attempt import AttemptObserver
from meshwright_sdk.balancing import Endpoint
from meshwright_sdk.endpoint_group import EndpointGroup
from meshwright_sdk.plugin import O_co, Plugin
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response


class WatchedService(Protocol):
    """A service as its policies see it."""

    @property
    def name(self) -> str:
        """Its name in the YAML."""

    @property
    def group(self) -> EndpointGroup:
        """Its endpoints, to take out, bring back and weigh."""

    async def probe(self, endpoint: Endpoint, request: Request) -> Response:
        """Send a request to one endpoint, ejected or not, as the service would; no policy or balancer learns of it.

        Raises UpstreamError. The caller closes the response. Bound it by `asyncio.timeout`.
        """

    async def probe_connection(self, endpoint: Endpoint) -> None:
        """Open a connection to one endpoint, TLS included, and close it; raises UpstreamError."""


class EndpointPolicy(Plugin[O_co], AttemptObserver):
    """Judges the endpoints of one service; one instance for each service and worker.

    `service` is there from before `start` on, and `added` has then been called for no endpoint yet. Take endpoints out
    and weigh them by `self.service.group`, with `self.name` as `by`.
    """

    service: WatchedService

    def attach(self, service: WatchedService) -> None:
        """Take over the service that it is for; called once, before `start`."""
        self.service = service


AnyPolicy = EndpointPolicy[Any]
