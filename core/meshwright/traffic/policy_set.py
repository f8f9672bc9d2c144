"""`PolicySet`: the policies of one service with what they have decided; they come and go together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Protocol

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


class PolicySet:
    """Policies that judge the endpoints of one service, and `group`, which holds what they say.

    When a reload changes one of them, the service takes another set and keeps its connections: `retire` takes back
    what this one has decided, and what its policies still say is not heeded. `tasks` are those of their contexts.
    """

    def __init__(
        self, policies: Sequence[AnyPolicy] = (), *, panic_threshold: float = 0.5, tasks: Tasks | None = None
    ) -> None:
        self.policies = tuple(policies)
        self.group = EndpointGroup(panic_threshold=panic_threshold)
        self._tasks = tasks if tasks is not None else Tasks()  # one without work is false
        self._started = asyncio.Event()
        self._closed = False
        if not policies:
            self._started.set()

    def attach(self, service: Probed) -> None:
        """Show the policies the service that they are for."""
        watched = _Watched(service, self.group)
        for policy in self.policies:
            policy.attach(watched)

    async def start(self) -> None:
        """Start the policies, which know no endpoint yet."""
        try:
            for policy in self.policies:
                await policy.start()
        finally:
            self._started.set()

    async def started(self) -> None:
        """Return when `start` is over, whatever came of it."""
        await self._started.wait()

    def retire(self) -> None:
        """Take back what was decided, and heed the policies no longer."""
        self.group.retire()

    async def close(self) -> None:
        """Close the policies, once, and end their background work."""
        if self._closed:
            return
        self._closed = True
        async with AsyncExitStack() as stack:  # each is closed, whatever the others raise
            stack.push_async_callback(self._tasks.close)
            for policy in self.policies:
                stack.push_async_callback(policy.close)


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
