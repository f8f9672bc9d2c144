"""The gateway's parts on real sockets in the test's own loop; what the wire's two ends do is in `wire`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from meshwright.http1.counts import ListenerCounts
from meshwright.http1.forwarding import DEFAULT_FORWARDING, Forwarding
from meshwright.http1.server import HttpServerProtocol
from meshwright.http1.server_state import ServerState
from meshwright.http1.settings import ServerLimits, ServerSettings
from meshwright.traffic.chain import compose
from meshwright.traffic.chooser import Chooser
from meshwright.traffic.counts import LiveRoute, RouteCounts
from meshwright.traffic.gateway import Gateway
from meshwright.traffic.live_endpoint import LiveEndpoint
from meshwright.traffic.pool import PoolLimits
from meshwright.traffic.service import Service
from meshwright.traffic.snapshot import Snapshot
from meshwright_plugins.balancers.weighted_round_robin import WeightedRoundRobin
from meshwright_sdk import (
    Context,
    Discovery,
    FilterCall,
    Instance,
    Match,
    Metrics,
    NoOptions,
    Request,
    Response,
    Route,
    Router,
    Verdict,
)
from meshwright_sdk.metrics import Counter
from tests.core.http1 import ways
from tests.core.http1.wire import Script, ScriptedUpstream, Wire, connect, listening_socket, scripted_upstream, until

Handle = Callable[[Request], Awaitable[Response]]


IMPATIENT = ServerLimits(half_close_s=0.0)
"""A client that closes its half has left: nothing waits for what it may still want to read."""


@dataclass(slots=True)
class Server:
    """The way in on a socket: its connections, and clients for it."""

    port: int
    state: Any
    bytewise: bool = False
    small_buffers: bool = False
    wires: list[Wire] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    async def client(self) -> Wire:
        wire = await connect(self.port, bytewise=self.bytewise, small_buffers=self.small_buffers)
        self.wires.append(wire)
        return wire

    @property
    def connections(self) -> list[HttpServerProtocol]:
        """What carries each connection; of the direct path only it is known what that is."""
        return list(self.state.connections)

    @property
    def connection(self) -> HttpServerProtocol:
        """The only connection there is."""
        (connection,) = self.connections
        return connection

    @property
    def refused(self) -> dict[str, float]:
        """How many requests were refused, by status."""
        family = self.metrics.families["meshwright_refused_requests_total"].metrics
        return {
            dict(labels)["status"]: counter.value
            for labels, counter in family.items()
            if isinstance(counter, Counter) and counter.value
        }

    async def ask(self, *parts: bytes, bodiless: bool = False) -> Any:
        """Send bytes on a new connection and return the first response."""
        wire = await self.client()
        await wire.send(*parts)
        return await wire.message(bodiless=bodiless)


@asynccontextmanager
async def serving(
    handle: Handle,
    *,
    bytewise: bool = False,
    small_buffers: bool = False,
    forwarding: Forwarding = DEFAULT_FORWARDING,
    limits: ServerLimits = IMPATIENT,
    claimed: tuple[object, object] | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """Serve `handle` by the way in of the test; at the end nothing of any connection may be left.

    What `claimed` and `tls` say holds for the direct path.
    """
    state = ServerState()
    settings = ServerSettings(limits=limits, forwarding=forwarding)
    bound = listening_socket(small_buffers=small_buffers)

    def protocol() -> HttpServerProtocol:
        connection = HttpServerProtocol(handle, counts, state, settings)
        connection.addresses = claimed
        return connection

    server = Server(bound.getsockname()[1], state, bytewise, small_buffers)
    counts = ListenerCounts(server.metrics, "test")
    async with AsyncExitStack() as stack:
        factory: Callable[[], asyncio.Protocol] = protocol
        if ways.current != ways.DIRECT:
            asgi = ways.asgi_protocols(handle, ways.current, forwarding)
            server.state, factory = await stack.enter_async_context(asgi)
        listener = await asyncio.get_running_loop().create_server(factory, sock=bound, ssl=tls)
        try:
            yield server
        finally:
            listener.close()
            for wire in server.wires:
                wire.writer.transport.abort()
            await until(lambda: not server.state.connections and not server.state.tasks)


class Listed(Discovery[NoOptions]):
    """The instances a test names, once and for all."""

    def __init__(self, *urls: str) -> None:
        super().__init__(NoOptions(), Context())
        self._instances = [Instance(url=url) for url in urls]

    async def watch(self) -> AsyncIterator[Sequence[Instance]]:
        yield self._instances


class OneRoute(Router[NoOptions]):
    """Every request takes the only route."""

    def __init__(self) -> None:
        super().__init__(NoOptions(), Context())
        self._route: Route | None = None

    def compile(self, routes: Sequence[Route]) -> None:
        (self._route,) = routes

    def match(self, request: Request) -> Route | None:
        return self._route

    def explain(self, request: Request) -> Sequence[Verdict]:
        return ()


@asynccontextmanager
async def service_of(*urls: str, limits: PoolLimits | None = None) -> AsyncIterator[Service]:
    """Run a service with the endpoints of these URLs."""
    chooser = Chooser(WeightedRoundRobin(NoOptions(), Context()))
    service = Service(
        "orders",
        chooser=chooser,
        discovery=Listed(*urls),
        limits=limits or PoolLimits(),
        metrics=Metrics(),
    )
    await chooser.start()
    await service.start()
    try:
        yield service
    finally:
        await service.close()


def snapshot_of(gateway: Gateway, service: Service, filters: Sequence[FilterCall] = ()) -> Snapshot:
    """Return a snapshot of one route to `service`, as if it had been built from a configuration."""
    counts = RouteCounts(gateway.metrics, "all")
    routes = (LiveRoute("all", Match(), compose(filters, service.call), 0, counts),)
    router = OneRoute()
    router.compile(routes)
    return Snapshot(
        version=1,
        config=cast(Any, None),
        registry=cast(Any, None),
        router=router,
        routes=routes,
        unrouted=routes[0],
        services={service.name: service},
        calls={service.name: service.call},
        parts=(),
    )


@dataclass(slots=True)
class Rig:
    """A whole gateway between a test's client and its scripted upstream."""

    upstream: ScriptedUpstream
    service: Service
    gateway: Gateway
    snapshot: Snapshot
    server: Server
    begun: list[Request] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ended: list[BaseException | None] = field(default_factory=list)

    @property
    def client(self) -> Callable[[], Awaitable[Wire]]:
        return self.server.client

    @property
    def ask(self) -> Callable[..., Awaitable[Any]]:
        return self.server.ask

    @property
    def endpoint(self) -> LiveEndpoint:
        return self.service.endpoints[0]

    @property
    def pool(self) -> dict[str, int]:
        return self.endpoint.pool.status()

    @property
    def idle(self) -> bool:
        """Whether nothing at all is in progress."""
        pool = self.pool
        return (
            not self.endpoint.in_flight
            and not self.snapshot.users.count
            and not self.snapshot.routes[0].counts.in_flight.value
            and not pool["active"] + pool["opening"] + pool["waiting"]
        )

    async def settled(self) -> None:
        """Wait until every permit, count and connection has been given back."""
        await until(lambda: self.idle)


@asynccontextmanager
async def gateway_to(
    script: Script,
    *filters: FilterCall,
    limits: PoolLimits | None = None,
    bytewise: bool = False,
    small_buffers: bool = False,
    forwarding: Forwarding = DEFAULT_FORWARDING,
    client_limits: ServerLimits = IMPATIENT,
) -> AsyncIterator[Rig]:
    """Run a gateway in front of an upstream; at the end each request's life has ended, once, and nothing is held."""
    async with (
        scripted_upstream(script, small_buffers=small_buffers) as upstream,
        service_of(upstream.url, limits=limits) as service,
    ):
        gateway = Gateway()
        begun: list[Request] = []
        statuses: list[int] = []
        ended: list[BaseException | None] = []

        async def watched(request: Request) -> Response:
            begun.append(request)
            response = await gateway.handle(request)
            statuses.append(response.status)
            response.on_close(ended.append)
            return response

        snapshot = snapshot_of(gateway, service, filters)
        await gateway.commit(snapshot)
        async with serving(
            watched, bytewise=bytewise, small_buffers=small_buffers, forwarding=forwarding, limits=client_limits
        ) as server:
            rig = Rig(upstream, service, gateway, snapshot, server, begun, statuses, ended)
            yield rig
        await rig.settled()
        assert len(ended) == len(statuses)
        await gateway.close()
