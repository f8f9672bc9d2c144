"""`Service`: the endpoints of one upstream service, who chooses among them, and the exchange with the chosen one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

from meshwright.net.client_tls import ClientTls
from meshwright.plugin_host.frames import place_of
from meshwright.traffic.chooser import Chooser
from meshwright.traffic.live_endpoint import LiveEndpoint
from meshwright.traffic.observers import Observers, tell_changes
from meshwright.traffic.policy_set import PolicySet
from meshwright.traffic.pool import Pool, PoolLimits
from meshwright.traffic.prober import Prober
from meshwright_sdk.balancing import Endpoint, Instance
from meshwright_sdk.clock import Clock, SystemClock
from meshwright_sdk.discovery import AnyDiscovery
from meshwright_sdk.errors import (
    DeadlineError,
    MeshwrightError,
    NoEndpointsError,
    PluginError,
    ProtocolError,
    ResetError,
)
from meshwright_sdk.metrics import Metrics
from meshwright_sdk.policy import AnyPolicy
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.side_work import SideWork
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.service")

FIRST_ANSWER_S = 5.0
"""How long the start of a service waits for discovery's first list."""
REWATCH_S = 1.0
ENDPOINTS_A_STEP = 100
"""How many new endpoints are made in one turn of the loop, at about 4 µs each."""
_SWEEP_S = 0.5
_LOOK_S = 1.0
_COUNTED = {
    "connects": "Connections begun to endpoints.",
    "connect_failures": "Connections to endpoints that failed.",
    "repeats": "Requests sent once more, for the endpoint had closed the idle connection they were first sent on.",
}
"""What is counted of each pool, and shown of all of a service."""
_REPEATABLE = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))
"""The idempotent methods (RFC 9110, section 9.2.2)."""


class Service:
    """An upstream service: discovery keeps its endpoints, the balancer picks one for each call.

    `host` is the Host that requests are sent with: `keep` the client's, `endpoint` the endpoint's, or another one.
    `tls` is for endpoints whose URL is https.
    It outlives a reload that does not change its configuration, with its pools and counts. Another balancer than
    before and other policies are no reason to make it anew: `choose_by` and `use` take them over.
    """

    def __init__(  # noqa: PLR0913 - these are what a service is made of, and it is made in one place
        self,
        name: str,
        *,
        chooser: Chooser,
        discovery: AnyDiscovery,
        limits: PoolLimits,
        metrics: Metrics,
        clock: Clock | None = None,
        side_work: SideWork | None = None,
        host: str = "keep",
        tls: ClientTls | None = None,
    ) -> None:
        self.name = name
        self._chooser = chooser
        self.balancer = chooser.balancer
        self._policy_set = PolicySet()
        self.group = self._policy_set.group
        self._live: tuple[LiveEndpoint, ...] = ()
        self._clock = clock or SystemClock()
        self._side_work = side_work or SideWork()
        self._observe()
        self._discovery = discovery
        self._limits = limits
        self._keeps_host = host == "keep"
        self._host = b"" if host in ("keep", "endpoint") else host.encode("ascii")
        self._tasks = Tasks()  # not those of its plugins' contexts, which go on until the plugins are closed
        self._known = asyncio.Event()
        self._lists = 0  # that were taken over
        self._tls = tls or ClientTls()
        self._retired: list[LiveEndpoint] = []
        self._declare(metrics)

    @property
    def endpoints(self) -> tuple[LiveEndpoint, ...]:
        """Every endpoint there is, ejected or not."""
        return self._live

    @property
    def policies(self) -> tuple[AnyPolicy, ...]:
        """The policies that judge its endpoints."""
        return self._policy_set.policies

    def choose_by(self, chooser: Chooser) -> None:
        """Have another balancer choose; it was started to succeed the one before, which is closed."""
        before, self._chooser = self._chooser, chooser
        self.balancer = chooser.balancer
        chooser.learn(self._live)
        self._observe()
        self._tasks.spawn(before.close(), name=f"end of the balancer {before.balancer.name} of {self.name}")

    def use(self, policy_set: PolicySet) -> None:
        """Have other policies judge the endpoints, which learn of all that there are; nothing is left of those before.

        They were attached, and are started if the service is.
        """
        before, self._policy_set = self._policy_set, policy_set
        before.retire()
        self.group = policy_set.group
        self._observe()
        with self.group.at_once():
            self.group.replace(self._live)
            tell_changes(policy_set.policies, (), self._live)
        if before.policies:
            self._tasks.spawn(before.close(), name=f"end of policies of {self.name}")

    def _observe(self) -> None:
        self._observers = Observers((self.balancer, *self.policies), self._clock)
        self._observed = self._observers.of_attempts

    def _declare(self, metrics: Metrics) -> None:
        self._past = dict.fromkeys(_COUNTED, 0)
        for number, help in _COUNTED.items():
            name = f"meshwright_upstream_{number}_total"
            metrics.counter(name, help, partial(self._total, number), service=self.name)

    def _total(self, number: str) -> int:
        present: int = sum(getattr(each.pool, number) for each in (*self._live, *self._retired))
        return self._past[number] + present

    async def start(self) -> None:
        """Begin discovery; returns when the balancer is ready for its list, or after FIRST_ANSWER_S without one."""
        can_choose = await self._chooser.started()
        await self._policy_set.started()
        await self._discovery.start()
        self._tasks.spawn(self._watch(), name=f"discovery of {self.name}")
        self._tasks.spawn(self._sweep(), name=f"sweep of {self.name}")
        if self._tls.has_files:
            self._tasks.spawn(self._renew_tls(), name=f"watch of the TLS files of {self.name}")
        try:
            async with asyncio.timeout(FIRST_ANSWER_S):
                await self._known.wait()
        except TimeoutError:
            logger.warning("service %s: no endpoints are known yet", self.name)
        if can_choose:
            await self._chooser.warm_up(self.group.usable)
        if self._wants_tls:
            await self._tls.ready()

    async def close(self) -> None:
        """Stop discovery; idle connections close now, the others when their exchange is over.

        Balancer and policies are parts of their own, which whoever holds them closes.
        """
        await self._tasks.close()
        for endpoint in (*self._live, *self._retired):
            endpoint.pool.close()
        await self._discovery.close()

    async def call(self, request: Request) -> Response:
        """Send `request` to an endpoint; raises UpstreamError.

        The endpoint is in `request.endpoint` from then on, also when it gives no answer.
        """
        if request.deadline is not None:
            self._refuse_late(request.deadline)
        usable: Sequence[Endpoint] = self.group.usable
        endpoint = self.balancer.pick(_others(usable, request.avoid) if request.avoid else usable, request)
        if endpoint is None and request.avoid:  # rather the same one again than none
            endpoint = self.balancer.pick(usable, request)
        if not isinstance(endpoint, LiveEndpoint):
            raise self._none_picked(endpoint)
        request.endpoint = endpoint
        observers = self._observers  # they hear of the end too, whoever may have taken their place
        attempt = observers.begin(endpoint, request) if self._observed else None
        endpoint.begin()
        try:
            sent = request if self._keeps_host else _with_host(request, self._host or endpoint.host)
            pool = endpoint.pool
            connection = pool.take_idle() or await pool.take_new()
            may_be_stale = connection.exchanges > 0
            try:
                response = await connection.exchange(sent)
            except (ResetError, ProtocolError) as error:
                if not may_be_stale:
                    pool.no_answer(connection, error)
                    raise
                if isinstance(error, ProtocolError) or sent.method not in _REPEATABLE or not sent.body.replayable:
                    raise
                # The endpoint closed an idle connection while the request was on its way (RFC 9112, section 9.3.1).
                connection = await pool.take_new()
                pool.repeats += 1
                response = await connection.exchange(sent)
        except BaseException as error:
            endpoint.failed()
            if attempt is not None:
                observers.end(attempt, None, error)
            raise
        response.endpoint = endpoint
        endpoint.answered(request, response)
        if attempt is not None:
            observers.end(attempt, response, None)
        return response

    async def probe(self, endpoint: Endpoint, request: Request) -> Response:
        """Send `request` to one endpoint beside its traffic, with the Host that is sent there unless it has one.

        No balancer or policy learns of it, and it is in no count. Raises UpstreamError.
        """
        assert isinstance(endpoint, LiveEndpoint)
        if request.headers.get_bytes(b"host") is None:
            request = _with_host(request, self._host or endpoint.host)
        response = await self._prober(endpoint).ask(request)
        response.endpoint = endpoint
        return response

    async def probe_connection(self, endpoint: Endpoint) -> None:
        """Open a connection to one endpoint and close it; raises UpstreamError."""
        assert isinstance(endpoint, LiveEndpoint)
        await self._prober(endpoint).connect()

    def _prober(self, endpoint: LiveEndpoint) -> Prober:
        if endpoint.prober is None:
            endpoint.prober = Prober(endpoint.origin, self._limits, self._tls_of(endpoint))
        return endpoint.prober

    def _none_picked(self, picked: object) -> MeshwrightError:
        """Return what to raise: there was nobody, or the balancer broke its contract."""
        if picked is None:
            return NoEndpointsError(f"service {self.name}: no endpoint is available")
        balancer = self.balancer
        where = f"service {self.name}: balancer {balancer.name}{place_of(balancer.pick)}"
        return PluginError(f"{where}: expected pick to return an endpoint or None; got a {type(picked).__name__}")

    def _refuse_late(self, deadline: float) -> None:
        if self._clock.monotonic() >= deadline:
            raise DeadlineError(f"service {self.name}: the time for an answer was over before the request was sent")

    def update(self, instances: Sequence[Instance], made: Mapping[Instance, LiveEndpoint] | None = None) -> None:
        """Take over discovery's list; endpoints that stay, be it with another weight, keep their pools and counts.

        New ones are taken from `made`, as far as they are there. A list that changes nothing leaves the sequence as it
        is, which balancers rely on; one that changes a weight makes a new one.
        """
        self._lists += 1
        wanted = list(dict.fromkeys(instances))
        if wanted == [endpoint.instance for endpoint in self._live]:
            return
        before = self._live
        known = {endpoint.instance: endpoint for endpoint in before}
        staying = {instance: known.pop(instance) for instance in wanted if instance in known}
        changed = {endpoint.url: endpoint for endpoint in known.values()}
        made = made or {}
        self._live = tuple(
            staying.get(instance) or self._endpoint(instance, changed.pop(instance.url, None), made)
            for instance in wanted
        )
        for gone in set(known.values()).difference(self._live):
            gone.pool.close()
            self._retired.append(gone)
        with self.group.at_once():
            self.group.replace(self._live)
            self._chooser.learn(self._live)
            tell_changes(self.policies, before, self._live)
        if self._known.is_set() and self._wants_tls:
            self._tasks.spawn(self._tls.ready(), name=f"TLS of {self.name}")

    def _endpoint(
        self, instance: Instance, before: LiveEndpoint | None, made: Mapping[Instance, LiveEndpoint]
    ) -> LiveEndpoint:
        """Return the endpoint of an instance: the one before at its URL with what is new of it, or another one."""
        if before is None:
            return made.get(instance) or LiveEndpoint(instance, self._make_pool)
        before.instance = instance
        return before

    def _made(self, instances: Sequence[Instance]) -> Generator[None, None, dict[Instance, LiveEndpoint]]:
        """Make endpoints for those at new addresses."""
        known = {endpoint.url for endpoint in self._live}
        made: dict[Instance, LiveEndpoint] = {}
        for instance in instances:
            if instance.url not in known:
                made[instance] = LiveEndpoint(instance, self._make_pool)
                if len(made) % ENDPOINTS_A_STEP == 0:
                    yield
        return made

    @property
    def _wants_tls(self) -> bool:
        """Whether there is an https endpoint and the context, which takes a while to make, is missing."""
        return self._tls.context is None and any(endpoint.pool.is_tls for endpoint in self._live)

    def _make_pool(self, endpoint: Endpoint) -> Pool:
        return Pool(endpoint.origin, self._limits, self._tls_of(endpoint))

    def _tls_of(self, endpoint: Endpoint) -> ClientTls | None:
        return self._tls if endpoint.origin.scheme == "https" else None

    async def _renew_tls(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            await asyncio.to_thread(self._tls.renew, f"service {self.name}")

    async def _watch(self) -> None:
        while True:
            try:
                async for instances in self._discovery.watch():
                    lists = self._lists
                    made = await self._side_work.run(self._made(instances))
                    if self._lists == lists:  # else a reload has brought a later one
                        self.update(instances, made)
                    self._known.set()
                return
            except Exception:
                logger.exception("service %s: discovery failed; the last good list stays", self.name)
            await asyncio.sleep(REWATCH_S)

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = loop.time()
            for endpoint in (*self._live, *self._retired):
                endpoint.pool.sweep(now)
                if endpoint.prober is not None:
                    endpoint.prober.sweep(now)
            self._forget_retired()

    def _forget_retired(self) -> None:
        for endpoint in [each for each in self._retired if not each.in_use]:
            self._retired.remove(endpoint)
            for number in self._past:
                self._past[number] += getattr(endpoint.pool, number)

    def status(self) -> dict[str, Any]:
        """Return endpoints and pools for the admin API."""
        return {
            "name": self.name,
            "balancer": self.balancer.name,
            "panicking": self.group.panicking,
            "endpoints": [endpoint.status() for endpoint in self._live],
        }


def _others(usable: Sequence[Endpoint], avoided: Sequence[Endpoint]) -> Sequence[Endpoint]:
    """Return the endpoints that are not to be avoided, or all of them when none would be left."""
    return [endpoint for endpoint in usable if endpoint not in avoided] or usable


def _with_host(request: Request, host: bytes) -> Request:
    """Return `request` with another Host; filters on its way back, and other services, see the one it came with."""
    sent = copy(request)
    sent.headers = request.headers.copy()
    sent.headers.set_bytes(b"host", host)
    return sent
