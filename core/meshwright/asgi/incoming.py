"""Requests from ASGI scopes, by the rules of the direct path; what happens to them is decided elsewhere."""

from __future__ import annotations

import base64
import os
from functools import lru_cache
from urllib.parse import quote, unquote

from meshwright.asgi.inbox import Inbox
from meshwright.http1.forwarding import DEFAULT_FORWARDING, Forwarding
from meshwright.http1.request_head import Peer, peer_of, request_of
from meshwright.http1.rules import Head, read_head
from meshwright_sdk.asgi import PATH_SAFE, Scope, body_messages, receive_body
from meshwright_sdk.body import Body
from meshwright_sdk.errors import DownstreamError
from meshwright_sdk.request import Request

_HANDSHAKE = frozenset(
    (b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions", b"sec-websocket-protocol")
)


async def http_request(scope: Scope, inbox: Inbox, forwarding: Forwarding = DEFAULT_FORWARDING) -> Request:
    """Return the request of an HTTP scope; raises DownstreamError, ClientGoneError when the client is gone already.

    The content is complete when the server has it all in its first message, else it streams. It is not asked
    for before somebody reads it where the client may be waiting for an answer first.
    """
    head = _read_head(scope)
    head.upgrade = b""  # nothing but HTTP can be carried by this scope
    request = _request(scope["method"].upper(), scope, head, forwarding)
    if head.length is None and not head.chunked and scope["http_version"] in ("1.1", "1.0"):
        inbox.without_body = True
    elif head.chunked or head.expects_continue:
        request.body = Body.stream(body_messages(inbox.receive), length=head.length)
    else:
        request.body = await receive_body(inbox.receive, length=head.length)
    return request


def websocket_request(scope: Scope, forwarding: Forwarding = DEFAULT_FORWARDING) -> Request:
    """Return the Upgrade request that stands for a WebSocket scope, with a handshake of its own (RFC 6455, 4.1)."""
    head = _read_head(scope)
    request = _request("GET", scope, head, forwarding)
    raw = [field for field in request.headers.raw if field[0] not in _HANDSHAKE]
    raw.append((b"sec-websocket-key", base64.b64encode(os.urandom(16))))
    raw.append((b"sec-websocket-version", b"13"))
    if subprotocols := scope.get("subprotocols"):
        raw.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode("latin-1")))
    request.headers.raw = raw
    request.upgrade = "websocket"
    return request


def _read_head(scope: Scope) -> Head:
    # The white space behind a value is none of it (RFC 9112, section 5.1), and not every server takes it away.
    return read_head([(name.lower(), value.strip(b" \t")) for name, value in scope["headers"]], DownstreamError)


def _request(method: str, scope: Scope, head: Head, forwarding: Forwarding) -> Request:
    client, server = scope.get("client"), scope.get("server") or (None, None)
    tls = scope.get("scheme", "http") in ("https", "wss")
    unix = server[1] is None  # it has a path and no port
    peername = tuple(client) if client else "" if unix else None  # a client that is gone has no address for some
    peer = _peer(peername, None if unix else tuple(server), tls, forwarding)
    target, query = raw_path(scope), scope.get("query_string")
    return request_of(method, target + b"?" + query if query else target, scope["http_version"], head, peer)


@lru_cache(maxsize=1024)
def _peer(
    client: tuple[object, ...] | str | None, server: tuple[object, ...] | None, tls: bool, forwarding: Forwarding
) -> Peer:
    return peer_of(client, server, tls=tls, forwarding=forwarding)


def raw_path(scope: Scope) -> bytes:
    """Return the path below the mount, as the client encoded it.

    `raw_path` is taken where it says the same as `path`, which is what a middleware in between changes.
    """
    path = scope["path"]
    raw: bytes = (scope.get("raw_path") or b"").partition(b"?")[0]
    if not raw or (unquote(raw.decode("ascii", "replace")) if b"%" in raw else raw.decode("ascii", "replace")) != path:
        raw = quote(path, safe=PATH_SAFE).encode("ascii")
    if root := scope.get("root_path"):
        raw = _below(raw, root)
    return raw or b"/"


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
