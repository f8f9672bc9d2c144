"""Starlette's and strangers' middlewares around a chain: what they see, what they change, what they leave alone."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.datastructures import MutableHeaders
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response as StarletteResponse

from meshwright_plugins.filters.asgi import Asgi
from meshwright_sdk import Body, CallNext, Request, ResetError, Response, Tasks
from meshwright_sdk.asgi import App, Message, Receive, Scope, Send
from meshwright_sdk.testing import FakeUpstream, build, make_endpoint, make_request

HERE = __name__
GZIP = "starlette.middleware.gzip:GZipMiddleware"
HOSTS = "starlette.middleware.trustedhost:TrustedHostMiddleware"


def scope_editor(app: App, **changes: Any) -> App:
    """Wrap `app` in a middleware that changes the scope."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, **changes}, receive, send)

    return middleware


def header_adder(app: App, *, name: str) -> App:
    """Add a header to request and response the way many do: in place, in any case."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def stamp(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(raw=message["headers"])[name] = "out"
            await send(message)

        scope["headers"].append((name.encode(), b"in"))
        await app(scope, receive, stamp)

    return middleware


def shouter(app: App) -> App:
    """Turn every chunk of request and response into capitals."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def loud_receive() -> Message:
            message = await receive()
            return {**message, "body": message.get("body", b"").upper()}

        async def loud_send(message: Message) -> None:
            await send({**message, "body": message["body"].upper()} if "body" in message else message)

        await app(scope, loud_receive, loud_send)

    return middleware


def forgetful(app: App) -> App:
    """Pass on a scope of its own making."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        await app({"type": "http"}, receive, send)

    return middleware


def status_changer(app: App) -> App:
    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        async def change(message: Message) -> None:
            await send({**message, "status": 200} if "status" in message else message)

        await app(scope, receive, change)

    return middleware


def swallower(app: App) -> App:
    """Answer by itself what the application raises."""

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except ResetError:
            await StarletteResponse("sorry", 503)(scope, receive, send)

    return middleware


class Tenant(BaseHTTPMiddleware):
    """What a Starlette user writes."""

    async def dispatch(self, request: StarletteRequest, call_next: RequestResponseEndpoint) -> StarletteResponse:
        request.state.tenant = request.headers.get("x-tenant")
        response = await call_next(request)
        response.headers["x-stamp"] = "1"
        return response


class FakeTunnel:
    closed = False

    async def read(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None:
        raise AssertionError(data)

    def close(self) -> None:
        self.closed = True


def middleware(function: Callable[..., Any], **options: Any) -> Asgi:
    return build(Asgi, middleware=f"{HERE}:{function.__name__}", options=options)


def switching() -> Response:
    response = Response(101, {"sec-websocket-accept": "x"})
    response.tunnel = FakeTunnel()
    return response


async def test_gzip_compresses_a_complete_response() -> None:
    compress = build(Asgi, middleware=GZIP, options={"minimum_size": 10})
    upstream = FakeUpstream(Response.text("hello " * 100))

    response = await compress(make_request(headers={"accept-encoding": "gzip"}), upstream)

    assert response.headers["content-encoding"] == "gzip"
    assert gzip.decompress(response.body.data or b"") == b"hello " * 100


async def test_gzip_compresses_a_stream_as_it_comes() -> None:
    go_on = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(200_000)
        await go_on.wait()
        yield b"end"

    compress = build(Asgi, middleware=GZIP, options={"minimum_size": 10})
    response = await compress(make_request(headers={"accept-encoding": "gzip"}), FakeUpstream(Response(body=chunks())))
    reader = aiter(response.body)
    first = await anext(reader)
    go_on.set()
    rest = b"".join([chunk async for chunk in reader])

    assert gzip.decompress(first + rest) == bytes(200_000) + b"end"


async def test_a_middleware_that_answers_by_itself_never_reaches_the_upstream() -> None:
    upstream = FakeUpstream()
    guard = build(Asgi, middleware=HOSTS, options={"allowed_hosts": ["shop.test"]})

    refused = await guard(make_request(url="http://evil.test/"), upstream)
    admitted = await guard(make_request(url="http://shop.test/"), upstream)

    assert (refused.status, admitted.status, len(upstream.requests)) == (400, 200, 1)


async def test_starlettes_base_middleware_works_and_shares_its_state() -> None:
    upstream = FakeUpstream()
    request = make_request("POST", headers={"x-tenant": "acme"}, body=b"content")

    response = await middleware(Tenant)(request, upstream)

    assert response.headers["x-stamp"] == "1"
    assert await response.body.read(100) == b"ok"
    assert (request.state["tenant"], upstream.requests[0].body.data) == ("acme", b"content")


async def test_headers_are_changed_on_both_ways() -> None:
    upstream = FakeUpstream()

    response = await middleware(header_adder, name="X-Mark")(make_request(), upstream)

    assert (upstream.requests[0].headers["x-mark"], response.headers["x-mark"]) == ("in", "out")
    assert (b"x-mark", b"in") in upstream.requests[0].headers.raw


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({"path": "/new path"}, "/new%20path?a=1"),
        ({"path": "/new", "raw_path": b"/raw%2Fpath"}, "/raw%2Fpath?a=1"),
        ({"path": ""}, "/?a=1"),
        ({"path": "/a?b"}, "/a%3Fb?a=1"),
        ({"query_string": b"b=2"}, "/old%2Fpath?b=2"),
        ({}, "/old%2Fpath?a=1"),
    ],
)
async def test_a_changed_target_is_the_requests(changes: dict[str, Any], target: str) -> None:
    upstream = FakeUpstream()

    await middleware(scope_editor, **changes)(make_request(url="/old%2Fpath?a=1"), upstream)

    assert upstream.requests[0].target == target


async def test_method_scheme_and_client_are_taken_over() -> None:
    upstream = FakeUpstream()

    edit = middleware(scope_editor, method="PUT", scheme="https", client=("198.51.100.7", 1))
    await edit(make_request("POST"), upstream)

    sent = upstream.requests[0]
    assert (sent.method, sent.scheme, sent.client and sent.client.host) == ("PUT", "https", "198.51.100.7")


async def test_a_header_that_would_smuggle_another_never_reaches_the_upstream() -> None:
    upstream = FakeUpstream()

    with pytest.raises(ValueError, match="control characters"):
        await middleware(scope_editor, headers=[(b"x", b"1\r\nevil: 1")])(make_request(), upstream)

    assert upstream.requests == []


async def test_a_streamed_request_body_stays_the_same_when_nobody_looks() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"

    upstream = FakeUpstream()
    request = make_request("POST", body=chunks())
    body = request.body

    await middleware(scope_editor)(request, upstream)

    assert upstream.requests[0].body is body


async def test_bodies_pass_through_the_middleware_both_ways() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"in "
        yield b"parts"

    async def echo(request: Request) -> Response:
        return Response(body=Body.stream(request.body.take()))

    response = await middleware(shouter)(make_request("POST", body=chunks()), echo)

    assert await response.body.read(100) == b"IN PARTS"


async def test_a_complete_request_body_stays_replayable_behind_a_middleware_that_wraps_it() -> None:
    upstream = FakeUpstream()

    await middleware(shouter)(make_request("POST", body=b"abc"), upstream)

    assert upstream.requests[0].body.data == b"ABC"


async def test_what_the_chain_raises_passes_through() -> None:
    with pytest.raises(ResetError):
        await build(Asgi, middleware=GZIP)(make_request(), FakeUpstream(ResetError("gone")))


async def test_a_middleware_may_catch_what_the_chain_raises() -> None:
    response = await middleware(swallower)(make_request(), FakeUpstream(ResetError("gone")))

    assert (response.status, response.body.data) == (503, b"sorry")


async def test_a_body_that_breaks_off_breaks_off_behind_the_middleware() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        raise ResetError("gone")

    response = await middleware(shouter)(make_request(), FakeUpstream(Response(body=chunks())))

    with pytest.raises(ResetError):
        await response.body.read(100)


async def test_giving_the_response_up_closes_the_upstreams() -> None:
    ends: list[BaseException | None] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        await asyncio.Event().wait()

    original = Response(body=chunks())
    original.on_close(ends.append)
    response = await middleware(shouter)(make_request(), FakeUpstream(original))
    await anext(aiter(response.body))

    await response.aclose()

    assert len(ends) == 1


async def test_a_cancelled_request_cancels_the_chain() -> None:
    began, ended = asyncio.Event(), list[bool]()

    async def never(request: Request) -> Response:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        raise AssertionError

    chain: CallNext = never
    request = Tasks().spawn(middleware(shouter)(make_request(), chain), name="request")
    await began.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request

    assert ended == [True]


async def test_the_endpoint_that_answered_is_kept() -> None:
    original = Response.text("ok")
    original.endpoint = make_endpoint()

    response = await middleware(shouter)(make_request(), FakeUpstream(original))

    assert response.endpoint is original.endpoint


async def test_a_tunnel_passes_and_its_life_ends_with_the_response() -> None:
    original = switching()
    tunnel = original.tunnel

    response = await middleware(header_adder, name="x-mark")(
        make_request(headers={"upgrade": "x"}), FakeUpstream(original)
    )
    open_before = not original.closed
    await response.aclose()

    assert (response.status, response.headers["x-mark"], open_before) == (101, "out", True)
    assert (response.tunnel is tunnel, original.closed) == (True, True)


async def test_a_tunnel_that_is_not_passed_on_is_closed() -> None:
    original = switching()

    response = await middleware(status_changer)(make_request(headers={"upgrade": "x"}), FakeUpstream(original))

    assert (response.status, response.tunnel, original.closed) == (200, None, True)


async def test_a_middleware_that_forgets_the_scope_is_told_so() -> None:
    with pytest.raises(Exception, match=r"to keep 'meshwright\.passage' in the scope"):
        await middleware(forgetful)(make_request(), FakeUpstream())


@pytest.mark.parametrize(
    ("reference", "options", "message"),
    [
        ("no.such.module:Thing", {}, "expected no.such.module:Thing to import; got ModuleNotFoundError"),
        ("starlette.middleware.gzip:Zip", {}, "to import; got AttributeError"),
        (GZIP, {"minimum": 1}, "to take its options; got TypeError"),
    ],
)
def test_what_cannot_be_built_is_refused(reference: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(Asgi, middleware=reference, options=options)


def test_a_reference_needs_a_name() -> None:
    with pytest.raises(ValidationError, match="expected a reference such as"):
        build(Asgi, middleware="starlette.middleware.gzip")
