"""`uses_of`: the plugins of a snapshot that have something to show or can be told something, by a name that stays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshwright.traffic.parts import Part
from meshwright.traffic.service import Service
from meshwright.traffic.snapshot import Snapshot
from meshwright_sdk.plugin import Plugin


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a plugin: `routes.orders.filters.retry`, `services.orders.policies.outlier`, `filters.overload[1]`.

    The number tells apart uses of the same plugin in one list. The name is the same after a reload, wherever in the
    file it stands then.
    """

    name: str
    kind: str
    plugin: Plugin[Any]

    def show(self) -> dict[str, Any]:
        """Return what the admin API shows of it in this worker."""
        plugin = self.plugin
        state = plugin.state()
        return {"kind": self.kind, "plugin": plugin.name, "actions": dict(plugin.actions), "state": state}

    def act(self, action: str, arguments: Mapping[str, str]) -> bool:
        """Have the plugin do something, and return whether that lasts; raises ValueError for what it cannot do."""
        known = self.plugin.actions
        if action not in known:
            can = f"one of {', '.join(sorted(known))}" if known else "none, for it has no actions"
            raise ValueError(f"{self.name}: action: expected {can}; got {action!r}")
        try:
            self.plugin.act(action, arguments)
        except ValueError as error:
            raise ValueError(f"{self.name}: {action}: {error}") from error
        return action not in self.plugin.momentary


def uses_of(snapshot: Snapshot) -> dict[str, Use]:
    """Return the uses that show a state or have actions, by name; what is asked for rarely is made when it is."""
    return {use.name: use for part in snapshot.parts for use in _uses(part) if _has_something(use.plugin)}


def _uses(part: Part) -> Iterator[Use]:
    kind, *identity = part.key if isinstance(part.key, tuple) else (part.key,)
    if kind == "filter":
        route, service, name, nth = identity
        owner = f"routes.{route}." if route else f"services.{service}." if service else ""
        yield Use(_numbered(f"{owner}filters.{name}", nth), "filter", part.value)
    elif kind == "service" and isinstance(part.value, Service):
        yield from _of_service(part.value)
    elif kind in ("store", "router"):
        yield Use(kind, kind, part.value)


def _of_service(service: Service) -> Iterator[Use]:
    owner = f"services.{service.name}"
    yield Use(f"{owner}.balancer", "balancer", service.balancer)
    seen: dict[str, int] = {}
    for policy in service.policies:
        nth = seen[policy.name] = seen.get(policy.name, -1) + 1
        yield Use(_numbered(f"{owner}.policies.{policy.name}", nth), "policy", policy)


def _numbered(name: str, nth: int) -> str:
    return f"{name}[{nth}]" if nth else name


def _has_something(plugin: object) -> bool:
    return isinstance(plugin, Plugin) and (bool(plugin.actions) or type(plugin).state is not Plugin.state)
