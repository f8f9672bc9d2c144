"""Building a snapshot from a configuration document, beside the one in use; serving it goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, TypeVar

from meshwright.config import LoadedConfig, problems_in
from meshwright.config.model import RouteConfig, ServiceConfig
from meshwright.config.plugin_use import Kind, PluginUse
from meshwright.config.problems import KeyPath, Problem, config_error, format_path
from meshwright.net.client_tls import ClientTls
from meshwright.plugin_host.frames import describe_failure
from meshwright.plugin_host.registry import Registry
from meshwright.traffic.beside import Slices, in_thread
from meshwright.traffic.chain import compose
from meshwright.traffic.checked import CheckedConfig
from meshwright.traffic.counts import CountsOfRoutes, LiveRoute
from meshwright.traffic.part_metrics import SharedMetrics
from meshwright.traffic.parts import Part
from meshwright.traffic.policy_set import PolicySet
from meshwright.traffic.pool import PoolLimits
from meshwright.traffic.service import Service
from meshwright.traffic.snapshot import Snapshot, Upstream
from meshwright.traffic.split import split_of
from meshwright_sdk.clock import Clock
from meshwright_sdk.errors import ConfigError, MeshwrightError, NoRouteError
from meshwright_sdk.filters import CallNext, FilterCall
from meshwright_sdk.plugin import CallService, Context
from meshwright_sdk.pulse import Pulse
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.routing import AnyRouter, Match
from meshwright_sdk.store import AnyStore

START_TIMEOUT_S = 30.0
"""How long the parts of a new snapshot may take to start, all of them together."""
STARTS_A_TURN = 50

NO_ROUTE = "(none)"
"""The name, in metrics and logs, of what takes the requests that no route takes."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a worker lends to every snapshot it builds."""

    metrics: SharedMetrics
    clock: Clock
    random: Random
    call: CallService
    counts: CountsOfRoutes
    pulse: Pulse


async def build_snapshot(config: CheckedConfig, version: int, before: Iterable[Part], resources: Resources) -> Snapshot:
    """Return the snapshot of a configuration, started, with the parts of `before` that did not change.

    The event loop gets a turn every few milliseconds meanwhile. Raises ConfigError with every problem, after closing
    what was started for it.
    """
    builder = _Builder(config, {part.key: part for part in before}, resources)
    try:
        snapshot = await builder.build(version)
        await builder.start()
        _show(snapshot)
    except BaseException:
        await builder.undo()
        raise
    return snapshot


async def _start(parts: Sequence[Part], loaded: LoadedConfig) -> None:
    """Start the parts side by side, a few more in each turn of the loop."""
    loop = asyncio.get_running_loop()
    starts: dict[asyncio.Task[None], Part] = {}
    try:
        for part in parts:
            if part.has_start:
                starts[loop.create_task(_start_one(part), name=f"start of {part.key}")] = part
                if len(starts) % STARTS_A_TURN == 0:
                    await asyncio.sleep(0)
        outcomes = await asyncio.gather(*starts, return_exceptions=True)
    except BaseException:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
        raise
    failed = [(part, error) for part, error in zip(starts.values(), outcomes, strict=True) if error is not None]
    if failed:
        raise config_error(problem for part, error in failed for problem in _start_problems(part, error, loaded))


async def _start_one(part: Part) -> None:
    async with asyncio.timeout(START_TIMEOUT_S):
        await part.start()


def _start_problems(part: Part, error: BaseException, loaded: LoadedConfig) -> Iterator[Problem]:
    if isinstance(error, ConfigError) and any(problems_in(error)):
        yield from map(loaded.located, problems_in(error))
        return
    told = isinstance(error, MeshwrightError | ValueError | OSError)
    got = (str(error) or type(error).__name__) if told else describe_failure(error)
    yield loaded.located(Problem("", None, part.path, f"to be able to start within {START_TIMEOUT_S:g} s", got))


def _show(snapshot: Snapshot) -> None:
    """Let plugin packages look at the snapshot, and refuse it."""
    try:
        snapshot.registry.hook.meshwright_snapshot_built(routes=snapshot.routes)
    except Exception as error:
        got = str(error) if isinstance(error, ValueError) else describe_failure(error)
        problem = Problem("", None, ("routes",), "routes that every plugin accepts", got)
        raise config_error([snapshot.config.located(problem)]) from error


@dataclass(slots=True)
class _Builder:
    """One snapshot in the making: nothing it does is visible before the snapshot is committed."""

    config: CheckedConfig
    before: dict[Hashable, Part]
    resources: Resources
    parts: dict[Hashable, Part] = field(default_factory=dict)
    new: list[Part] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    changes: list[Callable[[], None]] = field(default_factory=list)
    store: AnyStore | None = None
    slices: Slices = field(default_factory=Slices)
    started: bool = False

    @property
    def registry(self) -> Registry:
        return self.config.registry

    async def build(self, version: int) -> Snapshot:
        config = self.config.loaded.config
        self.store = self.plugin("store", config.store, ("store",), ("store",))
        router = self.plugin("router", config.router, ("router", version), ("router",))
        built = await self.services(config.services)
        around = {
            name: self.filters(each.filters, ("services", name, "filters")) for name, each in config.services.items()
        }
        everywhere = self.filters(config.filters, ("filters",))
        own = await self.filters_of(config.routes)
        self.refuse_problems()
        services = {name: service for name, service in built.items() if service is not None}
        calls = {name: compose(around[name], service.call) for name, service in services.items()}
        routes = await self.routes(config.routes, everywhere, own, calls)
        await self.compile(router, routes)
        return Snapshot(
            version=version,
            config=self.config.loaded,
            registry=self.registry,
            router=router,
            routes=routes,
            unrouted=self.unrouted(everywhere),
            services=services,
            calls=calls,
            parts=tuple(self.parts.values()),
            changes=tuple(self.changes),
        )

    async def services(self, configs: Mapping[str, ServiceConfig]) -> dict[str, Upstream | None]:
        built = {}
        for name, config in configs.items():
            built[name] = self.service(name, config)
            await self.slices.turn()
        return built

    async def filters_of(self, routes: Sequence[RouteConfig]) -> list[list[FilterCall]]:
        built = []
        for index, route in enumerate(routes):
            built.append(self.filters(route.filters, ("routes", index, "filters"), route))
            await self.slices.turn()
        return built

    async def routes(
        self,
        configs: Sequence[RouteConfig],
        everywhere: Sequence[FilterCall],
        own: Sequence[Sequence[FilterCall]],
        calls: Mapping[str, CallNext],
    ) -> tuple[LiveRoute, ...]:
        built = []
        for index, config in enumerate(configs):
            built.append(self.route(index, config, [*everywhere, *own[index]], calls))
            await self.slices.turn()
        return tuple(built)

    async def compile(self, router: AnyRouter, routes: tuple[LiveRoute, ...]) -> None:
        try:
            await in_thread(router.compile, routes)
        except ValueError as error:
            problem = Problem("", None, ("routes",), f"routes that the router {router.name} can serve", str(error))
            raise config_error([self.config.loaded.located(problem)]) from error

    def refuse_problems(self) -> None:
        if self.problems:
            raise config_error(self.config.loaded.located(problem) for problem in self.problems)

    async def start(self) -> None:
        """Start what is new."""
        self.started = True
        await _start(self.new, self.config.loaded)

    async def undo(self) -> None:
        """Close what may have been started, and leave nothing of what was made."""
        for part in reversed(self.new):
            if self.started:
                await part.close()
            part.metrics.end()

    def part(self, key: Hashable, fingerprint: Any, path: KeyPath, make: Callable[[Part], T]) -> T:
        """Return the part of that key: the one before if it was built from the same, else a new one."""
        known = self.before.get(key)
        if known is not None and known.fingerprint == fingerprint:
            self.parts[key] = known
            value: T = known.value
            return value
        part = Part(key, fingerprint, None, path, metrics=self.resources.metrics.of_part())
        try:
            value = part.value = make(part)
        except BaseException:
            part.metrics.end()
            raise
        self.parts[key] = part
        self.new.append(part)
        return value

    def context(
        self, path: KeyPath, part: Part, *, route: RouteConfig | None = None, service: str | None = None
    ) -> Context:
        return Context(
            place=format_path(path),
            route=route.name if route else None,
            match=route.match.compiled() if route else None,
            service=service,
            base_dir=self.config.document.base_dir,
            clock=self.resources.clock,
            random=self.resources.random,
            metrics=part.metrics,
            tasks=part.tasks,
            pulse=self.resources.pulse,
            store=self.store,
            call=self.resources.call,
        )

    def plugin(
        self,
        kind: Kind,
        use: PluginUse,
        key: Hashable,
        path: KeyPath,
        route: RouteConfig | None = None,
        service: str | None = None,
    ) -> Any:
        """Return one use of a plugin; what its constructor refuses is noted, and None returned."""
        place = (*path, use.name)

        def make(part: Part) -> Any:
            context = self.context(place, part, route=route, service=service)
            return self.registry.build(kind, use.name, use.checked, context)

        with self.noting_problems():
            return self.part(key, (self.registry.find(kind, use.name).target, use.options), place, make)

    @contextmanager
    def noting_problems(self) -> Iterator[None]:
        """Keep the problems of one part, so that those of the others are found too."""
        try:
            yield
        except ConfigError as error:
            self.problems.extend(problems_in(error))

    def filters(self, uses: Iterable[PluginUse], path: KeyPath, route: RouteConfig | None = None) -> list[FilterCall]:
        """Return filters in use: of every route, of one, or of the service that `path` leads to."""
        service = str(path[1]) if path[0] == "services" else None
        built = []
        seen: dict[str, int] = {}
        for index, use in enumerate(uses):
            nth = seen[use.name] = seen.get(use.name, -1) + 1
            key = ("filter", route and route.name, service, use.name, nth)
            built.append(self.plugin("filter", use, key, (*path, index), route=route, service=service))
        return built

    def service(self, name: str, config: ServiceConfig) -> Upstream | None:
        path = ("services", name)
        with self.noting_problems():
            # Filters and policies are parts of their own.
            itself = config.model_copy(update={"filters": (), "policies": (), "panic_threshold": 0.0})
            if config.app is not None:
                return self.part(("service", name), itself, path, lambda part: self.application(name, config))
            discovery = config.discovery or self.static(config)
            fingerprint = (
                itself if config.endpoints is None else itself.model_copy(update={"endpoints": ()}),
                self.registry.find("balancer", config.balancer.name).target,
                self.registry.find("discovery", discovery.name).target,
            )
            key = ("service", name)
            service = self.part(key, fingerprint, path, lambda part: self.balanced(name, config, discovery, part))
            taken_over = self.parts[key] is self.before.get(key)
            self.policies(service, config, taken_over)
            if config.endpoints is not None and taken_over:
                # One that is taken over uses them from the commit on; a new one learns them by its discovery.
                instances = [endpoint.instance() for endpoint in config.endpoints]
                self.changes.append(partial(service.update, instances))
            return service
        return None

    def policies(self, service: Service, config: ServiceConfig, taken_over: bool) -> None:
        """Give a service its policies: a new one at once, one that is taken over at the commit if they are new."""
        key = ("policies", service.name)
        path = ("services", service.name, "policies")
        if not config.policies and not service.policies:
            return
        policy_set = PolicySet()
        if config.policies:
            targets = (self.registry.find("policy", use.name).target for use in config.policies)
            fingerprint = (service, config.policies, config.panic_threshold, *targets)
            policy_set = self.part(key, fingerprint, path, lambda part: self.policy_set(service, config, part))
        if not taken_over:
            service.use(policy_set)
        elif not config.policies or self.parts[key] is not self.before.get(key):
            self.changes.append(partial(service.use, policy_set))

    def policy_set(self, service: Service, config: ServiceConfig, part: Part) -> PolicySet:
        def build(index: int, use: PluginUse) -> Any:
            context = self.context(("services", service.name, "policies", index, use.name), part, service=service.name)
            return self.registry.build("policy", use.name, use.checked, context)

        policies = [build(index, use) for index, use in enumerate(config.policies)]
        policy_set = PolicySet(policies, panic_threshold=config.panic_threshold, tasks=part.tasks)
        policy_set.attach(service)
        return policy_set

    def balanced(self, name: str, config: ServiceConfig, discovery: PluginUse, part: Part) -> Service:
        def build(kind: Kind, use: PluginUse) -> Any:
            context = self.context(("services", name, kind, use.name), part, service=name)
            return self.registry.build(kind, use.name, use.checked, context)

        return Service(
            name,
            balancer=build("balancer", config.balancer),
            discovery=build("discovery", discovery),
            limits=_limits(config),
            metrics=part.metrics,
            clock=self.resources.clock,
            host=config.host,
            tls=ClientTls(config.tls, self.config.document.base_dir),
        )

    def static(self, config: ServiceConfig) -> PluginUse:
        """Return the use of discovery that a list of endpoints in the service stands for."""
        endpoints = [endpoint.model_dump() for endpoint in config.endpoints or ()]
        options = self.registry.options_of("discovery", "static")
        assert options is not None
        return PluginUse("static", options.model_validate({"endpoints": endpoints}))

    def application(self, name: str, config: ServiceConfig) -> Upstream:
        from meshwright.asgi.service import AsgiService

        return AsgiService(
            name, config.app or "", base_dir=self.config.document.base_dir, response_timeout_s=config.response_timeout
        )

    def unrouted(self, filters: list[FilterCall]) -> LiveRoute:
        counts = self.resources.counts.of(NO_ROUTE)
        return LiveRoute(NO_ROUTE, Match(), compose(filters, _refuse), -1, counts)

    def route(
        self, index: int, config: RouteConfig, filters: list[FilterCall], calls: Mapping[str, CallNext]
    ) -> LiveRoute:
        name = config.name or ""
        counts = self.resources.counts.of(name)
        handle = compose(filters, _innermost(name, config, calls))
        return LiveRoute(name, config.match.compiled(), handle, index, counts)


async def _refuse(request: Request) -> Response:
    raise NoRouteError(f"no route matches {request.method} {request.host}{request.path}")


def _innermost(name: str, config: RouteConfig, calls: Mapping[str, CallNext]) -> CallNext:
    if not config.to:
        return partial(_unanswered, name)
    if len(config.to) == 1:
        return calls[config.to[0].service]
    return split_of(config, calls.__getitem__)


async def _unanswered(name: str, request: Request) -> Response:
    raise NoRouteError(f"route {name}: it names no service, and no filter has answered", code="no_service")


def _limits(config: ServiceConfig) -> PoolLimits:
    return PoolLimits(
        max_connections=config.pool.max_connections,
        max_idle=config.pool.max_idle,
        max_pending=config.pool.max_pending,
        idle_timeout_s=config.pool.idle_timeout,
        connect_timeout_s=config.connect_timeout,
        first_byte_timeout_s=config.response_timeout,
        body_idle_timeout_s=config.idle_timeout,
    )
