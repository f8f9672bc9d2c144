"""Requests from ASGI scopes, by the rules of the direct path; what happens to them is decided elsewhere."""

from __future__ import annotations

import base64
import os
from urllib.parse import quote, unquote

from meshwright.asgi.inbox import Inbox
from meshwright.http1.rules import Head, host_name, read_head
from meshwright.paths import normalise_path, split_target
from meshwright_sdk.asgi import Scope, body_messages, receive_body
from meshwright_sdk.body import Body
from meshwright_sdk.errors import DownstreamError
from meshwright_sdk.headers import Headers, RawHeaders
from meshwright_sdk.request import Address, Request

_PATH_SAFE = "/!$&'()*+,;=:@~"
_FORWARDED = frozenset((b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"))
_HANDSHAKE = frozenset(
    (b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"sec-websocket-protocol")
)
_SCHEMES = {"ws": "http", "wss": "https"}


async def http_request(scope: Scope, inbox: Inbox) -> Request:
    """Return the request of an HTTP scope; raises DownstreamError, ClientGoneError when the client is gone already.

    The content is complete when the server has it all in its first message, else it streams. It is not asked
    for before somebody reads it where the client may be waiting for an answer first.
    """
    head = _read_head(scope)
    request = _make(scope, scope["method"].upper(), head)
    if head.length is None and not head.chunked and scope["http_version"] in ("1.1", "1.0"):
        inbox.without_body = True
    elif head.chunked or head.expects_continue:
        request.body = Body.stream(body_messages(inbox.receive), length=head.length)
    else:
        request.body = await receive_body(inbox.receive, length=head.length)
    return request


def websocket_request(scope: Scope) -> Request:
    """Return the Upgrade request that stands for a WebSocket scope, with a handshake of its own (RFC 6455, 4.1)."""
    head = _read_head(scope)
    request = _make(scope, "GET", head)
    raw = [field for field in request.headers.raw if field[0] not in _HANDSHAKE]
    raw.append((b"sec-websocket-key", base64.b64encode(os.urandom(16))))
    raw.append((b"sec-websocket-version", b"13"))
    if subprotocols := scope.get("subprotocols"):
        raw.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode("latin-1")))
    request.headers.raw = raw
    request.upgrade = "websocket"
    return request


def _read_head(scope: Scope) -> Head:
    return read_head([(name.lower(), value) for name, value in scope["headers"]], DownstreamError)


def _make(scope: Scope, method: str, head: Head) -> Request:
    if method in ("CONNECT", "TRACE"):
        raise DownstreamError(f"method: {method} is not served here", status=405, code="method_refused")
    version = scope["http_version"]
    if head.host is None and version == "1.1":
        raise DownstreamError("host: expected one field (RFC 9112, section 3.2); got none")
    host = head.host or b""
    path, query = path_of(scope), scope.get("query_string", b"")
    if query:
        split_target(b"/?" + query)
    said: str = scope.get("scheme", "http")
    scheme = _SCHEMES.get(said, said)
    client = Address(*scope["client"]) if scope.get("client") else None
    return Request(
        method,
        path,
        query.decode("ascii"),
        Headers.from_raw(_forwarded(head.fields, client, scheme, host)),
        Body(),
        host=host_name(host),
        scheme=scheme,
        http_version=version,
        client=client,
    )


def _forwarded(fields: RawHeaders, client: Address | None, scheme: str, host: bytes) -> RawHeaders:
    kept = [field for field in fields if field[0] not in _FORWARDED]
    kept.append((b"x-forwarded-for", client.host.encode("ascii", "replace") if client else b"unknown"))
    kept.append((b"x-forwarded-proto", scheme.encode("ascii")))
    kept.append((b"x-forwarded-host", host))
    return kept


def path_of(scope: Scope) -> str:
    """Return the normal form of the path below the mount; raises BadTargetError.

    `raw_path` is taken where it says the same as `path`, which is what a middleware in between changes.
    """
    path = scope["path"]
    raw: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
    if not raw or (unquote(raw.decode("ascii", "replace")) if b"%" in raw else raw.decode("ascii", "replace")) != path:
        raw = quote(path, safe=_PATH_SAFE).encode("ascii")
    if root := scope.get("root_path"):
        raw = _below(raw, root)
    return "*" if raw == b"*" else normalise_path(raw or b"/")


def _below(raw: bytes, root: str) -> bytes:
    """Return what follows the decoded `root` in `raw`; all of it where the server did not put the root in front."""
    root = root.rstrip("/")
    end = 0
    while end < len(raw):
        end = raw.find(b"/", end + 1)
        if end < 0:
            end = len(raw)
        if unquote(raw[:end].decode("ascii", "replace")) == root:
            return raw[end:]
    return raw
