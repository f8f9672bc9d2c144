"""`PartMaker`: the parts of one snapshot, taken over or made anew; what a service is made of goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from meshwright.config import problems_in
from meshwright.config.model import RouteConfig
from meshwright.config.plugin_use import Kind, PluginUse
from meshwright.config.problems import KeyPath, Problem, config_error, format_path
from meshwright.plugin_host.registry import Registry
from meshwright.traffic.checked import CheckedConfig
from meshwright.traffic.counts import CountsOfRoutes
from meshwright.traffic.part_metrics import SharedMetrics
from meshwright.traffic.parts import Part
from meshwright_sdk.clock import Clock
from meshwright_sdk.errors import ConfigError
from meshwright_sdk.filters import FilterCall
from meshwright_sdk.plugin import CallService, Context
from meshwright_sdk.pulse import Pulse
from meshwright_sdk.side_work import SideWork
from meshwright_sdk.store import AnyStore

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a worker lends to every snapshot it builds."""

    metrics: SharedMetrics
    clock: Clock
    random: Random
    call: CallService
    counts: CountsOfRoutes
    pulse: Pulse
    side_work: SideWork


@dataclass(slots=True)
class PartMaker:
    """Gives each use of a plugin, and each service, its part: one of `before` that did not change, or a new one.

    `parts` are all that the snapshot has, `new` those that are to be started, `problems` what was refused meanwhile.
    `store` is what plugins made from then on count in.
    """

    config: CheckedConfig
    resources: Resources
    before: dict[Hashable, Part]
    parts: dict[Hashable, Part] = field(default_factory=dict)
    new: list[Part] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    store: AnyStore | None = None

    @property
    def registry(self) -> Registry:
        """The plugins there are."""
        return self.config.registry

    def part(self, key: Hashable, fingerprint: Any, path: KeyPath, make: Callable[[Part], T]) -> T:
        """Return the value of the part of that key: the one before if it was built from the same, else a new one."""
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

    def took_over(self, key: Hashable) -> bool:
        """Return whether the part of that key is the one before."""
        return self.parts[key] is self.before.get(key)

    def context(
        self, path: KeyPath, part: Part, *, route: RouteConfig | None = None, service: str | None = None
    ) -> Context:
        """Return what a plugin in that part is told and lent."""
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
            side_work=self.resources.side_work,
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

    @contextmanager
    def noting_problems(self) -> Iterator[None]:
        """Keep the problems of one part, so that those of the others are found too."""
        try:
            yield
        except ConfigError as error:
            self.problems.extend(problems_in(error))

    def refuse_problems(self) -> None:
        """Raise ConfigError with all that was noted, if anything was."""
        if self.problems:
            raise config_error(self.config.loaded.located(problem) for problem in self.problems)
