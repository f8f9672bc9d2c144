"""`GatewayApp`: the gateway as an ASGI application; sockets, processes and watching files belong to its host."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from types import TracebackType

from meshwright.asgi.exchange import serve_http
from meshwright.asgi.inbox import Watch
from meshwright.asgi.websocket import serve_websocket
from meshwright.config.problems import Problem, config_error
from meshwright.http1.forwarding import DEFAULT_FORWARDING, Forwarding
from meshwright.http1.server import Handle
from meshwright.traffic.gateway import Gateway
from meshwright.traffic.snapshot import Snapshot
from meshwright_sdk.asgi import Receive, Scope, Send
from meshwright_sdk.errors import ConfigError, MeshwrightError
from meshwright_sdk.problems import problem
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.sources import ConfigDocument
from meshwright_sdk.tasks import Tasks

logger = logging.getLogger("meshwright.asgi")


class NotReadyError(MeshwrightError):
    """The configuration could not be loaded, so that there is nothing to serve."""

    status = 503
    code = "not_ready"
    fault = "configuration"


class GatewayApp:
    """A gateway to be served by any ASGI server, or mounted in any ASGI application: `GatewayApp("gateway.yaml")`.

    The file's routes, filters and services are used; its listeners and admin API are not, the server has its
    own. Only what the first listener says of proxies, Via and paths holds for the server's requests.

    It starts with the server's lifespan. A mounted application gets none: it starts with its first request then,
    or with `async with app:` in its host's lifespan, which also closes it. One event loop only.

    Given a Gateway, it serves that one's snapshot, and loads and closes nothing.
    """

    def __init__(self, source: str | Path | ConfigDocument | Gateway) -> None:
        self._source = source
        self.gateway = source if isinstance(source, Gateway) else Gateway()
        self._tasks = Tasks()
        self._watch = Watch(self._tasks)
        self._lock = asyncio.Lock()
        self._version = 0
        self._ready = isinstance(source, Gateway)
        self._failed = False
        self._seen: Snapshot | None = None
        self._forwarding = DEFAULT_FORWARDING

    async def start(self) -> None:
        """Load the configuration unless it is loaded; raises ConfigError with every problem."""
        if not self._ready:
            async with self._lock:
                if not self._ready:
                    await self._load()

    async def reload(self) -> None:
        """Load the configuration anew; raises ConfigError and then changes nothing."""
        async with self._lock:
            await self._load()

    async def _load(self) -> None:
        if isinstance(self._source, Gateway):
            return
        document = _document(self._source)
        snapshot = await self.gateway.prepare(document, self._version + 1)
        await self.gateway.commit(snapshot)
        self._version += 1
        self._failed = False
        if not self._ready:
            self._ready = True
            self._tell("meshwright_started")

    async def close(self) -> None:
        """Close what was started; nothing may be served after it."""
        self._watch.close()
        if self._ready and not isinstance(self._source, Gateway):
            self._ready = False
            self._tell("meshwright_stopped")
            await self.gateway.close()
        await self._tasks.close()

    async def __aenter__(self) -> GatewayApp:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope of an ASGI server."""
        kind = scope["type"]
        if kind == "http":
            await serve_http(await self._handle_by(), self._watch, scope, receive, send, self._first_listeners())
        elif kind == "websocket":
            await serve_websocket(await self._handle_by(), self._watch, scope, receive, send, self._first_listeners())
        elif kind == "lifespan":
            await self._serve_lifespan(receive, send)
        else:
            raise RuntimeError(f"asgi: expected a scope http, websocket or lifespan; got {kind!r}")

    async def _handle_by(self) -> Handle:
        """Return what answers a request; one that comes before a lifespan did starts the gateway.

        A start that failed is not tried again by itself.
        """
        if not self._ready and not self._failed:
            try:
                await self.start()
            except ConfigError as error:
                self._failed = True
                logger.error("the configuration is wrong:\n%s", error)
        return self.gateway.handle if self._ready else _not_ready

    def _first_listeners(self) -> Forwarding:
        """Return the settings of the first listener, in whose place the server stands."""
        snapshot = self.gateway.snapshot
        if snapshot is not self._seen:
            self._seen = snapshot
            self._forwarding = Forwarding.of(snapshot.config.config.listeners[0]) if snapshot else DEFAULT_FORWARDING
        return self._forwarding

    async def _serve_lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
        except ConfigError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _tell(self, hook: str) -> None:
        if self.gateway.snapshot is not None:
            self.gateway.snapshot.registry.tell(hook)


async def _not_ready(request: Request) -> Response:
    return problem(NotReadyError(), request)


def _document(source: str | Path | ConfigDocument) -> ConfigDocument:
    if isinstance(source, ConfigDocument):
        return source
    path = Path(source)
    try:
        return ConfigDocument.from_file(path)
    except OSError as error:
        got = error.strerror or str(error)
        raise config_error([Problem(str(path), None, (), "a file of YAML in UTF-8", got)]) from error
