"""`PolicySet`: the policies of one service with what they have decided; starting and closing goes elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshwright.traffic.plugin_set import PluginSet
from meshwright_sdk.balancing import Endpoint
from meshwright_sdk.endpoint_group import EndpointGroup
from meshwright_sdk.policy import AnyPolicy
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.tasks import Tasks


class Probed(Protocol):
    """A service whose endpoints can be asked one by one."""

    name: str

    async def probe(self, endpoint: Endpoint, request: Request) -> Response:
        """Send a request to one endpoint; raises UpstreamError."""

    async def probe_connection(self, endpoint: Endpoint) -> None:
        """Open a connection to one endpoint and close it; raises UpstreamError."""


class PolicySet(PluginSet):
    """Policies that judge the endpoints of one service, and `group`, which holds what they say.

    When a reload changes one of them, the service takes another set and keeps its connections: `retire` takes back
    what this one has decided, and what its policies still say is not heeded.
    """

    def __init__(
        self, policies: Sequence[AnyPolicy] = (), *, panic_threshold: float = 0.5, tasks: Tasks | None = None
    ) -> None:
        super().__init__(policies, tasks=tasks)
        self.policies = tuple(policies)
        self.group = EndpointGroup(panic_threshold=panic_threshold)

    def attach(self, service: Probed) -> None:
        """Show the policies the service that they are for."""
        watched = _Watched(service, self.group)
        for policy in self.policies:
            policy.attach(watched)

    def retire(self) -> None:
        """Take back what was decided, and heed the policies no longer."""
        self.group.retire()


class _Watched:
    """A service as the policies of one set see it."""

    __slots__ = ("_service", "group")

    def __init__(self, service: Probed, group: EndpointGroup) -> None:
        self._service = service
        self.group = group

    @property
    def name(self) -> str:
        return self._service.name

    async def probe(self, endpoint: Endpoint, request: Request) -> Response:
        return await self._service.probe(endpoint, request)

    async def probe_connection(self, endpoint: Endpoint) -> None:
        await self._service.probe_connection(endpoint)
