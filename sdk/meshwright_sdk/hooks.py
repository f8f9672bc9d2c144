"""The hooks a plugin package may implement, one for each plugin kind; no implementation goes in here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import pluggy

if TYPE_CHECKING:
    import click
    from starlette.routing import BaseRoute

    from meshwright_sdk.balancing import AnyBalancer
    from meshwright_sdk.discovery import AnyDiscovery
    from meshwright_sdk.filters import Filter, FilterCall
    from meshwright_sdk.policy import AnyPolicy
    from meshwright_sdk.routing import AnyRouter, Route
    from meshwright_sdk.sources import AnyConfigSource
    from meshwright_sdk.store import AnyStore

hookspec = pluggy.HookspecMarker("meshwright")
hookimpl = pluggy.HookimplMarker("meshwright")
"""Marks a function as the implementation of the hook of the same name."""


class Hooks(Protocol):
    """Every hook. A mapping's key is the plugin's name in the YAML.

    Its value is the class (or decorated function), or a string "package.module:attribute", which is imported
    when the plugin is first used.
    """

    @hookspec
    def meshwright_filters(self) -> Mapping[str, type[Filter[Any]] | FilterCall | str]:
        """Return the package's filters."""

    @hookspec
    def meshwright_routers(self) -> Mapping[str, type[AnyRouter] | str]:
        """Return the package's routers."""

    @hookspec
    def meshwright_balancers(self) -> Mapping[str, type[AnyBalancer] | str]:
        """Return the package's balancers."""

    @hookspec
    def meshwright_policies(self) -> Mapping[str, type[AnyPolicy] | str]:
        """Return the package's policies about endpoints."""

    @hookspec
    def meshwright_discoveries(self) -> Mapping[str, type[AnyDiscovery] | str]:
        """Return the package's discoveries."""

    @hookspec
    def meshwright_stores(self) -> Mapping[str, type[AnyStore] | str]:
        """Return the package's stores."""

    @hookspec
    def meshwright_config_sources(self) -> Mapping[str, type[AnyConfigSource] | str]:
        """Return the package's configuration sources."""

    @hookspec
    def meshwright_admin_routes(self) -> Sequence[BaseRoute]:
        """Return Starlette routes for the admin API; they are mounted below `/api/plugins/NAME`."""

    @hookspec
    def meshwright_commands(self) -> Sequence[click.Command]:
        """Return extra commands of the command line."""

    @hookspec
    def meshwright_snapshot_built(self, routes: Sequence[Route]) -> None:
        """Look at the routes of a new snapshot before it is used; raise ValueError to refuse it."""

    @hookspec
    def meshwright_started(self) -> None:
        """Take note that a worker serves its first snapshot; must not block."""

    @hookspec
    def meshwright_stopped(self) -> None:
        """Take note that a worker has served its last request; must not block."""
