"""`AsgiService`: an ASGI application in the gateway's own process as a service; what is routed to it goes elsewhere."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from meshwright.asgi.app_socket import AppSocket, websocket_key
from meshwright.asgi.lifespan import Lifespan, StartError
from meshwright.config.problems import Problem, config_error
from meshwright.plugin_host.frames import describe_failure
from meshwright.plugin_host.loading import LoadError, import_attribute, importing
from meshwright.traffic.carrier import Carrier
from meshwright_sdk.asgi import App, Scope, http_scope
from meshwright_sdk.asgi_call import AppCall
from meshwright_sdk.balancing import Endpoint
from meshwright_sdk.errors import ConfigError, MeshwrightError, PluginError, ResetError
from meshwright_sdk.hop_by_hop import HOP_BY_HOP
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.asgi")

RESPONSE_TIMEOUT_S = 60.0
LINGER_S = 30.0
"""How long an application may go on with a request whose client has left; servers leave it to end by itself."""
CLOSE_WAIT_S = 10.0
"""How long work that goes on after an answer may take when the service is closed."""


class AsgiService(Carrier):
    """An ASGI application that answers as a service does, without a socket in between.

    Its lifespan is run between `start` and `close`. A client that leaves does not cancel it: it is told by
    http.disconnect, as under any ASGI server. `app` may be the application itself in place of its import path.
    """

    def __init__(
        self,
        name: str,
        app: str | App,
        *,
        base_dir: Path | None = None,
        response_timeout_s: float = RESPONSE_TIMEOUT_S,
    ) -> None:
        self.name = name
        self.endpoints: tuple[Endpoint, ...] = ()
        self.requests = 0
        self.in_flight = 0
        self._shown = app if isinstance(app, str) else getattr(app, "__qualname__", type(app).__qualname__)
        self._app = _import(name, app, base_dir or Path.cwd()) if isinstance(app, str) else app
        self._timeout_s = response_timeout_s
        self._lifespan = Lifespan(self._app, f"service {name}")
        self._tasks = Tasks()
        self._task_name = f"service {name}"

    async def start(self) -> None:
        """Run the application's startup; raises ConfigError when it refuses."""
        try:
            await self._lifespan.start()
        except StartError as error:
            raise _problem(self.name, f"{self._shown} to start", str(error)) from error

    async def close(self) -> None:
        """Let what the application still does end, a while, then run its shutdown."""
        await self._tasks.close(grace_s=CLOSE_WAIT_S)
        await self._lifespan.close()

    async def call(self, request: Request) -> Response:
        """Have the application answer; raises PluginError for what it raises, UpstreamTimeoutError when it is late."""
        self.begin()
        try:
            response = await self._respond(request)
        except BaseException:
            self.failed()
            raise
        self.answered(request, response)
        return response

    async def _respond(self, request: Request) -> Response:
        scope = http_scope(request)
        if self._lifespan.state is not None:
            scope["state"] = self._lifespan.state.copy()
        if request.upgrade == "websocket":
            return await self._connect(request, scope)
        response = await self._run(self._app, scope, request)
        raw = response.headers.raw
        response.headers.raw = [field for field in raw if field[0] not in HOP_BY_HOP]
        return response

    async def _connect(self, request: Request, scope: Scope) -> Response:
        socket = AppSocket(self._app, _websocket_scope(request, scope), websocket_key(request))
        response = await self._run(socket.run, scope, request)
        if response.status == 101:
            response.tunnel = socket
        return response

    async def _run(self, app: App, scope: Scope, request: Request) -> Response:
        def failed(error: Exception) -> Exception:
            if _is_the_applications(error):
                self._log(request, error)
                return ResetError(f"service {self.name}: the application failed before its answer was complete")
            return error

        call = AppCall(app, scope, request, timeout_s=self._timeout_s, linger_s=LINGER_S, failed=failed)
        try:
            return await call.respond(self._tasks, self._task_name)
        except Exception as error:
            if not _is_the_applications(error):
                raise
            self._log(request, error)
            raise PluginError(f"service {self.name}: {type(error).__name__}", code="application_failed") from error

    def _log(self, request: Request, error: Exception) -> None:
        what, number = describe_failure(error), request.id or "-"
        logger.error("request %s to service %s: the application failed: %s", number, self.name, what)

    def status(self) -> dict[str, Any]:
        """Return what the admin API shows."""
        counts = {"requests": self.requests, "in_flight": self.in_flight}
        return {"name": self.name, "app": self._shown, "endpoints": [], **counts}


def _is_the_applications(error: Exception) -> bool:
    """Return whether it is a mistake of the application, and not of the client or of another filter."""
    return isinstance(error, PluginError) or not isinstance(error, MeshwrightError)


def _websocket_scope(request: Request, scope: Scope) -> Scope:
    offered = b",".join(value for name, value in request.headers.raw if name == b"sec-websocket-protocol")
    return {
        **{key: value for key, value in scope.items() if key != "method"},
        "type": "websocket",
        "scheme": "wss" if request.scheme == "https" else "ws",
        "subprotocols": [word for part in offered.decode("latin-1").split(",") if (word := part.strip())],
        "extensions": {"websocket.http.response": {}},
    }


def _import(name: str, reference: str, base_dir: Path) -> App:
    try:
        with importing(base_dir):
            app = import_attribute(reference)
    except LoadError as error:
        raise _problem(name, error.expected, error.got, error.hint) from error
    if not callable(app):
        raise _problem(name, f"{reference} to be an ASGI application", f"{type(app).__name__}")
    found: App = app
    return found


def _problem(name: str, expected: str, got: str, hint: str = "") -> ConfigError:
    return config_error([Problem("", None, ("services", name, "app"), expected, got, hint)])
