"""Building a snapshot from a configuration document, beside the one in use; making its parts goes elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from meshwright.config import LoadedConfig
from meshwright.config.model import RouteConfig, ServiceConfig
from meshwright.config.problems import Problem, config_error
from meshwright.plugin_host.frames import describe_failure
from meshwright.traffic.beside import Slices, in_thread
from meshwright.traffic.chain import compose
from meshwright.traffic.checked import CheckedConfig
from meshwright.traffic.counts import CountsOfRoutes, LiveRoute
from meshwright.traffic.innermost import innermost_of, refuse_unrouted
from meshwright.traffic.part_maker import PartMaker, Resources
from meshwright.traffic.parts import Part
from meshwright.traffic.service_maker import ServiceMaker
from meshwright.traffic.snapshot import Snapshot, Upstream
from meshwright.traffic.starting import start_parts
from meshwright_sdk.filters import CallNext, FilterCall
from meshwright_sdk.routing import AnyRouter, Match

NO_ROUTE = "(none)"
"""The name, in metrics and logs, of what takes the requests that no route takes."""


async def build_snapshot(config: CheckedConfig, version: int, before: Iterable[Part], resources: Resources) -> Snapshot:
    """Return the snapshot of a configuration, started, with the parts of `before` that did not change.

    The event loop gets a turn every few milliseconds meanwhile. Raises ConfigError with every problem, after closing
    what was started for it.
    """
    maker = PartMaker(config, resources, {part.key: part for part in before})
    started = False
    try:
        snapshot = await _Builder(config.loaded, maker, resources.counts).build(version)
        started = True
        await start_parts(maker.new, config.loaded)
        _show(snapshot)
    except BaseException:
        await _undo(maker.new, started)
        raise
    return snapshot


def _show(snapshot: Snapshot) -> None:
    """Let plugin packages look at the snapshot, and refuse it."""
    try:
        snapshot.registry.hook.meshwright_snapshot_built(routes=snapshot.routes)
    except Exception as error:
        got = str(error) if isinstance(error, ValueError) else describe_failure(error)
        problem = Problem("", None, ("routes",), "routes that every plugin accepts", got)
        raise config_error([snapshot.config.located(problem)]) from error


async def _undo(new: Sequence[Part], started: bool) -> None:
    """Close what may have been started, and leave nothing of what was made."""
    for part in reversed(new):
        if started:
            await part.close()
        part.metrics.end()


@dataclass(slots=True)
class _Builder:
    """One snapshot in the making: nothing it does is visible before the snapshot is committed."""

    loaded: LoadedConfig
    maker: PartMaker
    counts: CountsOfRoutes
    slices: Slices = field(default_factory=Slices)

    async def build(self, version: int) -> Snapshot:
        config, maker = self.loaded.config, self.maker
        maker.store = maker.plugin("store", config.store, ("store",), ("store",))
        router = maker.plugin("router", config.router, ("router", version), ("router",))
        service_maker = ServiceMaker(maker)
        built = await self.services(config.services, service_maker)
        around = {
            name: maker.filters(each.filters, ("services", name, "filters")) for name, each in config.services.items()
        }
        everywhere = maker.filters(config.filters, ("filters",))
        own = await self.filters_of(config.routes)
        maker.refuse_problems()
        services = {name: service for name, service in built.items() if service is not None}
        calls = {name: compose(around[name], service.call) for name, service in services.items()}
        routes = await self.routes(config.routes, everywhere, own, calls)
        await self.compile(router, routes)
        return Snapshot(
            version=version,
            config=self.loaded,
            registry=maker.registry,
            router=router,
            routes=routes,
            unrouted=LiveRoute(NO_ROUTE, Match(), compose(everywhere, refuse_unrouted), -1, self.counts.of(NO_ROUTE)),
            services=services,
            calls=calls,
            parts=tuple(maker.parts.values()),
            changes=tuple(service_maker.changes),
        )

    async def services(
        self, configs: Mapping[str, ServiceConfig], service_maker: ServiceMaker
    ) -> dict[str, Upstream | None]:
        built = {}
        for name, config in configs.items():
            built[name] = service_maker.service(name, config)
            await self.slices.turn()
        return built

    async def filters_of(self, routes: Sequence[RouteConfig]) -> list[list[FilterCall]]:
        built = []
        for index, route in enumerate(routes):
            built.append(self.maker.filters(route.filters, ("routes", index, "filters"), route))
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

    def route(
        self, index: int, config: RouteConfig, filters: list[FilterCall], calls: Mapping[str, CallNext]
    ) -> LiveRoute:
        name = config.name or ""
        handle = compose(filters, innermost_of(name, config, calls))
        return LiveRoute(name, config.match.compiled(), handle, index, self.counts.of(name))

    async def compile(self, router: AnyRouter, routes: tuple[LiveRoute, ...]) -> None:
        try:
            await in_thread(router.compile, routes)
        except ValueError as error:
            problem = Problem("", None, ("routes",), f"routes that the router {router.name} can serve", str(error))
            raise config_error([self.loaded.located(problem)]) from error
