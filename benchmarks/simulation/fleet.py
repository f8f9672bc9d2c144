"""Endpoints that work through a queue, gateways that send them requests, and what both have seen."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from benchmarks.simulation.virtual_time import VirtualClock
from meshwright.http1.client import Owner, UpstreamConnection
from meshwright.plugin_host.registry import Registry
from meshwright.traffic.chain import compose
from meshwright.traffic.chooser import Chooser
from meshwright.traffic.policy_set import PolicySet
from meshwright.traffic.pool import Pool, PoolLimits
from meshwright.traffic.service import Service
from meshwright_sdk import Context, Endpoint, Instance, Metrics, Request, Response, Tasks
from meshwright_sdk.balancing import Origin
from meshwright_sdk.testing import make_request


class Server:
    """What an endpoint does: `slots` requests at a time, the others wait their turn.

    Service times are exponential. While it is `failing` it answers 503 after a hundredth of the time, without work.
    """

    def __init__(self, mean_s: float, slots: int, random: Random) -> None:
        self.mean_s = mean_s
        self.failing = False
        self.served = 0
        self.longest_queue = 0
        self._slots = slots
        self._busy = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._random = random

    async def serve(self) -> int:
        """Return the status, when it is there."""
        self.served += 1
        if self.failing:
            await asyncio.sleep(self.mean_s / 100)
            return 503
        if self._busy >= self._slots:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            self.longest_queue = max(self.longest_queue, len(self._waiting))
            await turn
        else:
            self._busy += 1
        try:
            await asyncio.sleep(self._random.expovariate(1 / self.mean_s))
        finally:
            self._leave()
        return 200

    def _leave(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._busy -= 1


class Link(UpstreamConnection):
    """The way to a server in place of a socket: it takes any number of requests at a time."""

    def __init__(self, owner: Owner, server: Server) -> None:
        super().__init__(owner, asyncio.get_running_loop())
        self._server = server

    async def exchange(self, request: Request) -> Response:
        return Response(await self._server.serve())


class SimulatedPool(Pool):
    """Has a link, always."""

    def __init__(self, origin: Origin, limits: PoolLimits, server: Server) -> None:
        super().__init__(origin, limits)
        self._link = Link(self, server)

    def take_idle(self) -> UpstreamConnection:
        return self._link


class SimulatedService(Service):
    """The service of a gateway, whose requests go to servers in place of sockets."""

    servers: Mapping[str, Server]

    def _make_pool(self, endpoint: Endpoint) -> Pool:
        return SimulatedPool(endpoint.origin, PoolLimits(), self.servers[endpoint.url])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A fleet and its load: `utilisation` is the share of what all servers can do."""

    endpoints: int = 1_000
    gateways: int = 100
    slots: int = 4
    mean_s: float = 0.2
    utilisation: float = 0.6
    slow_share: float = 0.1
    seconds: float = 10.0
    balancer: str = "random"
    options: Mapping[str, Any] = field(default_factory=dict)
    policies: Sequence[tuple[str, Mapping[str, Any]]] = ()
    filters: Sequence[tuple[str, Mapping[str, Any]]] = ()
    failing_share: float = 0.0
    seed: int = 1

    @property
    def rate(self) -> float:
        """Requests a second of the whole fleet; a slow server takes twice as long."""
        slow = self.slow_share / 2
        return self.utilisation * self.endpoints * self.slots / self.mean_s * (1 - slow)


@dataclass(slots=True, kw_only=True)
class Seen:
    """What came of it: times in seconds, `loads` are requests of each server in the order of its number."""

    times: list[float] = field(default_factory=list)
    asked: int = 0
    failed: int = 0
    loads: list[int] = field(default_factory=list)
    longest_queue: int = 0


class Fleet:
    """All of it, in the running loop."""

    def __init__(self, plan: Plan, clock: VirtualClock) -> None:
        self.plan = plan
        self.seen = Seen()
        self._clock = clock
        self._random = Random(plan.seed)
        self._registry = Registry.built_in()
        self._tasks = Tasks()
        self._instances = [
            Instance(url=f"http://127.0.{number >> 8}.{number & 255}:1") for number in range(plan.endpoints)
        ]
        self.servers = {each.url: self._server(number) for number, each in enumerate(self._instances)}

    def _server(self, number: int) -> Server:
        plan = self.plan
        slow = number >= plan.endpoints * (1 - plan.slow_share)
        return Server(plan.mean_s * (2 if slow else 1), plan.slots, Random(plan.seed * 1_000_003 + number))

    async def run(self) -> Seen:
        """Play the plan to its end, and until the last answer."""
        plan, seen = self.plan, self.seen
        for server in list(self.servers.values())[: round(plan.failing_share * plan.endpoints)]:
            server.failing = True
        gateways = [await self._gateway(number) for number in range(plan.gateways)]
        loads = [self._tasks.spawn(gateway.load(), name="load") for gateway in gateways]
        await asyncio.gather(*loads)
        for gateway in gateways:
            await gateway.service.close()
        await self._tasks.close()
        seen.loads = [server.served for server in self.servers.values()]
        seen.longest_queue = max(server.longest_queue for server in self.servers.values())
        return seen

    async def _gateway(self, number: int) -> SimulatedGateway:
        plan = self.plan
        random = Random(plan.seed * 7_919 + number)
        chooser = Chooser(self._built("balancer", plan.balancer, plan.options, random))
        service = SimulatedService(
            "fleet",
            chooser=chooser,
            discovery=self._built("discovery", "static", {"endpoints": [each.url for each in self._instances]}, random),
            limits=PoolLimits(),
            metrics=Metrics(),
            clock=self._clock,
        )
        service.servers = self.servers
        policies = PolicySet([self._built("policy", name, options, random) for name, options in plan.policies])
        policies.attach(service)
        service.use(policies)
        await policies.start()
        await chooser.start()
        await service.start()
        filters = [self._built("filter", name, options, random) for name, options in plan.filters]
        return SimulatedGateway(self, service, filters, random)

    def _built(self, kind: str, name: str, options: Mapping[str, Any], random: Random) -> Any:
        model = self._registry.options_of(kind, name)
        context = Context(place=name, clock=self._clock, random=random, tasks=self._tasks, route="all", service="fleet")
        return self._registry.build(kind, name, model.model_validate(options) if model is not None else None, context)


class SimulatedGateway:
    """One gateway with its own view of the fleet, and its clients, who come at random moments."""

    def __init__(self, fleet: Fleet, service: SimulatedService, filters: Sequence[Any], random: Random) -> None:
        self.service = service
        self._fleet = fleet
        self._call = compose(filters, service.call)
        self._random = random
        self._clients = Tasks()

    async def load(self) -> None:
        """Send requests until the time is over, and wait for the last answer."""
        plan, loop = self._fleet.plan, asyncio.get_running_loop()
        rate, end = plan.rate / plan.gateways, loop.time() + plan.seconds
        while (pause_s := self._random.expovariate(rate)) + loop.time() < end:
            await asyncio.sleep(pause_s)
            self._clients.spawn(self._ask(), name="client")
        await self._clients.close(grace_s=1_000)

    async def _ask(self) -> None:
        seen, loop = self._fleet.seen, asyncio.get_running_loop()
        request = make_request(headers={"x-user": str(self._random.randrange(100_000))})
        seen.asked += 1
        began_s = loop.time()
        try:
            response = await self._call(request)
        except Exception:
            seen.failed += 1
            return
        seen.failed += response.status >= 500
        seen.times.append(loop.time() - began_s)
        await response.aclose()
