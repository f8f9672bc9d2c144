"""Services that options of plugins name, which have to be there; what a plugin does with them is its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from meshwright.config.document import Document
from meshwright.config.model import GatewayConfig
from meshwright.config.plugin_use import PluginUse
from meshwright.config.problems import KeyPath, Problem, did_you_mean, listed
from meshwright_sdk import ServiceName


def services_are_there(document: Document, config: GatewayConfig) -> Iterator[Problem]:
    """Yield a problem for each name of a service that there is not."""
    known = list(config.services)
    for path, name in _named(config, ()):
        if name not in config.services and not document.is_unresolved(path):
            expected = f"one of the services {listed(known)}" if known else "a service, and there is none"
            yield document.problem(path, expected, hint=did_you_mean(name, known))


def no_way_leads_back(document: Document, config: GatewayConfig) -> Iterator[Problem]:
    """Yield a problem for each name of a service by which requests to a service would come to it again, for ever."""
    called = {name: list(_named(each.filters, ("services", name, "filters"))) for name, each in config.services.items()}
    for service, names in called.items():
        for path, name in names:
            if service in _reached(called, name) and not document.is_unresolved(path):
                yield document.problem(path, f"a service whose filters do not lead back to {service}")


def _reached(called: Mapping[str, Sequence[tuple[KeyPath, str]]], service: str) -> set[str]:
    """Return the service and all that its filters lead to."""
    reached, following = set(), [service]
    while following:
        name = following.pop()
        if name not in reached:
            reached.add(name)
            following.extend(other for _, other in called.get(name, ()))
    return reached


def _named(value: object, path: KeyPath) -> Iterator[tuple[KeyPath, ServiceName]]:
    if isinstance(value, ServiceName):
        yield path, value
    elif isinstance(value, PluginUse):
        yield from _named(value.options, (*path, value.name))
    elif isinstance(value, BaseModel):
        for field in value.model_fields_set:
            yield from _named(getattr(value, field), (*path, field))
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _named(inner, (*path, str(key)))
    elif isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            yield from _named(inner, (*path, index))
