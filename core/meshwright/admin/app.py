"""`admin_app`: the admin API as one ASGI application; what its paths answer goes into the modules beside it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp

from meshwright.admin import actions, health, views
from meshwright.admin.auth import Guard
from meshwright.admin.problems import failed, refused
from meshwright.admin.server import HOOK
from meshwright.plugin_host.frames import describe_failure
from meshwright.plugin_host.loading import FAILURES
from meshwright.plugin_host.registry import Registry
from meshwright.processes.control import Control
from meshwright.traffic.checked import CheckedConfig
from meshwright_sdk import ConfigError


def admin_app(control: Control, config: CheckedConfig) -> ASGIApp:
    """Return the application for one configuration: its address, its token, its plugins' routes.

    Raises ConfigError when a plugin fails to tell its routes.
    """
    routes = [
        Route("/livez", health.livez),
        Route("/readyz", health.readyz),
        Route("/metrics", views.metrics),
        Route("/api/config", views.config),
        Route("/api/routes", views.routes),
        Route("/api/services", views.services),
        Route("/api/plugins", views.plugins),
        Route("/api/state", views.state),
        Route("/api/act", actions.act, methods=["POST"]),
        Route("/api/reload", actions.reload, methods=["POST"]),
        Route("/api/explain", actions.explain, methods=["POST"]),
        *_plugin_routes(config.registry),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: refused, Exception: failed})
    app.state.control = control
    admin = config.loaded.config.admin
    return Guard(app, admin.bind, admin.token)


def _plugin_routes(registry: Registry) -> list[BaseRoute]:
    """Return the routes of each plugin package below a path of its own."""
    expected = f"{HOOK}: expected a list of Starlette routes"
    try:
        offers = list(registry.each(HOOK))
    except FAILURES as error:
        raise ConfigError([f"{expected}; got {describe_failure(error)}"]) from error
    wrong = [(name, each) for name, routes in offers for each in _no_routes(routes)]
    if wrong:
        raise ConfigError([f"plugin {name}: {expected}; got {each!r:.80}" for name, each in wrong])
    return [Mount(f"/api/plugins/{name.strip('./')}", routes=list(routes)) for name, routes in offers]


def _no_routes(answer: object) -> list[object]:
    """Return what is none in the answer of a plugin, or the answer itself when it is no list."""
    if isinstance(answer, str) or not isinstance(answer, Sequence):
        return [answer]
    return [each for each in answer if not isinstance(each, BaseRoute)]
