"""ASGI messages and the gateway's: a request as a scope, a response as messages; no application is run from here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any
from urllib.parse import unquote

from meshwright_sdk.body import Body
from meshwright_sdk.errors import ClientGoneError
from meshwright_sdk.headers import CONTROLS, RawHeaders
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.tokens import TOKEN_BYTES

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

PATH_SAFE = "/!$&'()*+,;=:@~"
"""What stays as it is when the decoded path of a scope is percent-encoded (RFC 3986, section 3.3)."""


def http_scope(request: Request) -> Scope:
    """Return `request` as an ASGI HTTP scope; its headers are a copy, for the application to change."""
    client = request.client
    path = request.path
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.http_version,
        "method": request.method,
        "scheme": request.scheme,
        "path": unquote(path) if "%" in path else path,
        "raw_path": path.encode("ascii"),
        "query_string": request.query.encode("ascii"),
        "root_path": "",
        "headers": request.headers.raw.copy(),
        "client": (client.host, client.port) if client is not None and client.host else None,
        "server": None,
    }


def clean_headers(fields: Iterable[Sequence[bytes]]) -> RawHeaders:
    """Return the headers of a scope or message with lower-case names.

    Raises ValueError for a name that is no token, and for a value that could start another header.
    """
    raw = [(bytes(name).lower(), bytes(value)) for name, value in fields]
    names = [name for name, _ in raw]
    if b"" in names or (names and TOKEN_BYTES.fullmatch(b"".join(names)) is None):
        raise ValueError(f"asgi: expected header names that are tokens (RFC 9110, section 5.1); got {names!r}")
    if CONTROLS.search(b"".join([value for _, value in raw])) is not None:
        raise ValueError("asgi: expected header values without control characters (RFC 9110, section 5.5)")
    return raw


async def receive_body(receive: Receive, *, length: int | None = None) -> Body:
    """Return the body of an ASGI request: its bytes when the first message has them all, else a stream.

    Raises ClientGoneError when the client is gone before the first message; the stream does so later.
    """
    first = await receive()
    if first["type"] != "http.disconnect" and not first.get("more_body", False):
        return Body(first.get("body", b""))
    return Body.stream(body_messages(receive, first), length=length)


async def body_messages(receive: Receive, first: Message | None = None) -> AsyncIterator[bytes]:
    """Iterate over an ASGI request's content, after `first`; nothing is asked for before the first chunk is."""
    message = first if first is not None else await receive()
    while True:
        if message["type"] == "http.disconnect":
            raise ClientGoneError("client: closed the connection")
        if data := message.get("body", b""):
            yield data
        if not message.get("more_body", False):
            return
        message = await receive()


def _nothing() -> None:
    """Do nothing before the end."""


def _itself(error: BaseException) -> BaseException:
    """Have a response end by what broke it off."""
    return error


async def send_response(
    response: Response,
    send: Send,
    *,
    before_end: Callable[[], None] = _nothing,
    ended_by: Callable[[BaseException], BaseException] = _itself,
) -> None:
    """Play `response` to an ASGI `send` and end its life, whatever happens; a tunnel is left alone.

    `before_end` is called right before the last message; `ended_by` turns what broke the response off, such as a
    cancellation, into what its life ends with. Raises ClientGoneError where `send` says so by an
    OSError, what the body raises, and whatever else `send` raises.
    """
    try:
        start = {"type": "http.response.start", "status": response.status, "headers": response.headers.raw}
        await _deliver(send, start)
        data = response.body.data
        if data is None:
            async for chunk in response.body:
                await _deliver(send, {"type": "http.response.body", "body": chunk, "more_body": True})
            data = b""
        before_end()
        await _deliver(send, {"type": "http.response.body", "body": data, "more_body": False})
    except BaseException as error:
        await response.aclose(ended_by(error))
        raise
    if response.complete:
        response.settle()
    else:
        await response.aclose()


async def _deliver(send: Send, message: Message) -> None:
    try:
        await send(message)
    except OSError as error:
        raise ClientGoneError("client: closed the connection") from error
