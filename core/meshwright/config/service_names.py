"""Services that options of plugins name, which have to be there; what a plugin does with them is its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
