"""`Chooser`: the balancer of one service, and how it takes another one's place; connections go elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from meshwright.traffic.observers import tell_changes
from meshwright.traffic.plugin_set import PluginSet
from meshwright_sdk.balancing import AnyBalancer, Endpoint
from meshwright_sdk.endpoint_group import EndpointGroup
from meshwright_sdk.tasks import Tasks


class Chosen(Protocol):
    """A service whose endpoints are chosen from."""

    group: EndpointGroup


class Chooser(PluginSet):
    """The balancer of one service.

    A new service starts with it. When a reload changes the balancer, the service is taken over with its connections:
    the new one gets ready for the endpoints there are beside the one in use, and has its place from the commit on.
    """

    def __init__(self, balancer: AnyBalancer, *, tasks: Tasks | None = None) -> None:
        super().__init__((balancer,), tasks=tasks)
        self.balancer = balancer
        self._known: Sequence[Endpoint] = ()
        self._service: Chosen | None = None

    def succeed(self, service: Chosen) -> None:
        """Get ready for a running service when it is started."""
        self._service = service

    async def start(self) -> None:
        """Start the balancer; one that takes another's place learns of the endpoints and warms up."""
        await super().start()
        if self._service is not None:
            group = self._service.group
            self.learn(group.all)
            await self.warm_up(group.usable)

    def learn(self, endpoints: Sequence[Endpoint]) -> None:
        """Tell the balancer which endpoints have come and gone since it was last told."""
        before, self._known = self._known, endpoints
        tell_changes((self.balancer,), before, endpoints)

    async def warm_up(self, endpoints: Sequence[Endpoint]) -> None:
        """Have the balancer get ready for its first list, if there is one."""
        if endpoints:
            await self.balancer.warm_up(endpoints)
