"""`asgi`: any Starlette or ASGI middleware as a filter. No middleware of our own goes in here."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, unquote

from pydantic import Field

from meshwright_sdk import (
    Address,
    Body,
    CallNext,
    Context,
    Filter,
    ImportPath,
    Options,
    PluginError,
    Request,
    Response,
    imported,
)
from meshwright_sdk.asgi import (
    PATH_SAFE,
    App,
    Receive,
    Scope,
    Send,
    body_messages,
    clean_headers,
    http_scope,
    receive_body,
)
from meshwright_sdk.asgi import send_response as play
from meshwright_sdk.asgi_call import AppCall

_PASSAGE: Final = "meshwright.passage"


class AsgiOptions(Options):
    """Which middleware, and what its constructor is given."""

    middleware: ImportPath = Field(
        description="Middleware class or function, such as starlette.middleware.gzip:GZipMiddleware."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="What it is called with, after the application, by keyword."
    )


class Asgi(Filter[AsgiOptions]):
    """Run an ASGI middleware around the rest of the chain, without reading bodies into memory.

    It is built once, as `Middleware(app, **options)`; a function of your own that does so serves where an
    option is no plain value. What it changes in the scope (method, path, query, headers, scheme, client) is
    changed in the request, and Starlette's `request.state` is the request's. An Upgrade request passes as the
    GET that it is; its 101 is shown without a body.

    Example:
        filters:
          - asgi: {middleware: "starlette.middleware.gzip:GZipMiddleware", options: {minimum_size: 500}}
    """

    def __init__(self, options: AsgiOptions, context: Context) -> None:
        super().__init__(options, context)
        try:
            make = imported(options.middleware)
        except ValueError as error:
            raise ValueError(f"middleware: {error}") from error
        try:
            self._app: App = make(_rest_of_chain, **options.options)
        except Exception as error:
            raise ValueError(f"middleware: expected {options.middleware} to take its options; got {error!r}") from error
        self._task_name = f"asgi {options.middleware}"

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        scope = http_scope(request)
        scope["state"] = request.state
        call = AppCall(self._app, scope, request)
        passage = scope[_PASSAGE] = _Passage(request, call_next, call)
        try:
            response = await call.respond(self.context.tasks, self._task_name)
        except BaseException:
            await passage.drop()
            raise
        return await passage.completed(response)


class _Passage:
    """One request's way through the middleware: what the inner application needs, and what it leaves behind."""

    __slots__ = ("_call_next", "_own", "_request", "_switched", "endpoint")

    def __init__(self, request: Request, call_next: CallNext, own: AppCall) -> None:
        self._request = request
        self._call_next = call_next
        self._own = own
        self._switched: Response | None = None
        self.endpoint: Any = None

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self._request
        _take_over(scope, request)
        await self._take_body(receive)
        response = await self._call_next(request)
        self.endpoint = response.endpoint
        if response.tunnel is None:
            await play(response, send)
            return
        await self.drop()
        self._switched = response
        await send({"type": "http.response.start", "status": response.status, "headers": response.headers.raw})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _take_body(self, receive: Receive) -> None:
        """Give the request what the middleware lets it receive; its own body when nothing stands in between."""
        body = self._request.body
        if receive == self._own.receive and (body.replayable or self._own.unread):
            return
        if body.replayable:
            self._request.body = await receive_body(receive)
        else:
            declared = self._request.headers.get_bytes(b"content-length")
            self._request.body = Body.stream(body_messages(receive), length=int(declared) if declared else None)

    async def completed(self, response: Response) -> Response:
        """Return what the middleware made of the answer, with what no message can carry."""
        response.endpoint = self.endpoint
        if self._switched is not None and response.status == 101:
            response.tunnel = self._switched.tunnel
            response.on_close(self._switched.settle)
        else:
            await self.drop()
        return response

    async def drop(self) -> None:
        """Close the tunnel of a 101 that is not passed on."""
        switched, self._switched = self._switched, None
        if switched is not None:
            await switched.aclose()


async def _rest_of_chain(scope: Scope, receive: Receive, send: Send) -> None:
    """Be the application that the middleware wraps."""
    passage = scope.get(_PASSAGE)
    if passage is None:
        raise PluginError(f"asgi: expected the middleware to keep {_PASSAGE!r} in the scope it passes on")
    await passage.run(scope, receive, send)


def _take_over(scope: Scope, request: Request) -> None:
    """Change in `request` what the middleware changed in the scope."""
    request.method = scope["method"]
    request.scheme = scope["scheme"]
    request.query = scope["query_string"].decode("latin-1")
    _take_over_path(scope, request)
    if scope["headers"] != request.headers.raw:
        request.headers.raw = clean_headers(scope["headers"])
    client = scope["client"]
    if client is not None and client != request.client:
        request.client = Address(client[0], client[1])


def _take_over_path(scope: Scope, request: Request) -> None:
    """Take the raw path where it was changed, else the decoded one; most middlewares change that alone."""
    raw = scope.get("raw_path") or b""
    path = scope["path"]
    if raw and raw != request.path.encode("ascii"):
        request.path = _rooted(quote(raw, safe=f"{PATH_SAFE}%"))
    elif path != (unquote(request.path) if "%" in request.path else request.path):
        request.path = _rooted(quote(path, safe=PATH_SAFE))


def _rooted(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"
