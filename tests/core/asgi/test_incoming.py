"""Scopes become requests by the same rules as bytes do on the direct path."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from meshwright.asgi.inbox import Inbox, Watch
from meshwright.asgi.incoming import http_request, raw_path, websocket_request
from meshwright_sdk import ClientGoneError, DownstreamError, Tasks
from meshwright_sdk.asgi import Scope
from tests.core.asgi.peer import Peer, content, http_scope, websocket_scope

HOST = (b"host", b"shop.test")


def inbox_of(peer: Peer) -> Inbox:
    return Inbox(peer.receive, Watch(Tasks()))


async def test_a_request_says_what_the_scope_says() -> None:
    scope = http_scope("get", "/a", query_string=b"q=1", http_version="1.0", scheme="https")

    request = await http_request(scope, inbox_of(Peer()))

    assert (request.method, request.target, request.host, request.scheme) == ("GET", "/a?q=1", "shop.test", "https")
    assert (request.http_version, request.client and request.client.host) == ("1.0", "192.0.2.1")


async def test_hop_by_hop_headers_end_here_and_names_become_lower_case() -> None:
    headers = [HOST, (b"Connection", b"close, X-Hop"), (b"X-Hop", b"1"), (b"TE", b"trailers"), [b"X-Kept", b"2"]]

    request = await http_request(http_scope(headers=headers), inbox_of(Peer()))

    assert [name for name, _ in request.headers.raw][:2] == [b"host", b"x-kept"]
    assert all(isinstance(field, tuple) for field in request.headers.raw)


async def test_the_white_space_around_a_value_is_none_of_it() -> None:
    headers = [(b"host", b"shop.test \t"), (b"content-length", b" 2 "), (b"x-kept", b"a b\t")]

    request = await http_request(http_scope("POST", headers=headers), inbox_of(Peer(content(b"hi"))))

    assert (request.host, request.headers["x-kept"], request.body.data) == ("shop.test", "a b", b"hi")


async def test_what_a_client_says_about_itself_is_replaced() -> None:
    headers = [HOST, (b"x-forwarded-for", b"6.6.6.6"), (b"x-forwarded-proto", b"gopher"), (b"forwarded", b"for=6")]

    request = await http_request(http_scope(headers=headers), inbox_of(Peer()))

    assert request.headers.getlist("x-forwarded-for") == ["192.0.2.1"]
    assert (request.headers["x-forwarded-proto"], request.headers["x-forwarded-host"]) == ("http", "shop.test")
    assert "forwarded" not in request.headers


async def test_an_upgrade_in_an_http_scope_is_none() -> None:
    headers = [HOST, (b"connection", b"upgrade"), (b"upgrade", b"websocket")]

    request = await http_request(http_scope(headers=headers), inbox_of(Peer()))

    assert (request.upgrade, "upgrade" in request.headers) == ("", False)


async def test_a_request_without_content_asks_for_no_message() -> None:
    peer = Peer()

    request = await http_request(http_scope(), inbox_of(peer))

    assert (request.body.data, peer.asked) == (b"", 0)


async def test_content_in_one_message_is_complete() -> None:
    peer = Peer(content(b"abc"))

    request = await http_request(http_scope("POST", headers=[HOST, (b"content-length", b"3")]), inbox_of(peer))

    assert request.body.data == b"abc"


async def test_content_in_several_messages_streams_with_its_length() -> None:
    peer = Peer(content(b"ab", more=True), content(b"c"))

    request = await http_request(http_scope("POST", headers=[HOST, (b"content-length", b"3")]), inbox_of(peer))

    assert (request.body.data, request.body.length) == (None, 3)
    assert await request.body.read(10) == b"abc"


@pytest.mark.parametrize(
    "headers",
    [[(b"content-length", b"3"), (b"expect", b"100-continue")], [(b"transfer-encoding", b"chunked")]],
    ids=["expect", "chunked"],
)
async def test_content_that_may_wait_for_an_answer_is_not_waited_for(headers: list[tuple[bytes, bytes]]) -> None:
    peer = Peer()

    request = await http_request(http_scope("POST", headers=[HOST, *headers]), inbox_of(peer))

    assert (request.body.data, peer.asked) == (None, 0)


async def test_a_request_of_http_2_may_have_content_without_a_length() -> None:
    request = await http_request(http_scope("POST", http_version="2"), inbox_of(Peer(content(b"abc"))))

    assert request.body.data == b"abc"


async def test_a_client_that_leaves_before_its_content_breaks_the_body_off() -> None:
    peer = Peer({"type": "http.disconnect"})

    request = await http_request(http_scope("POST", headers=[HOST, (b"content-length", b"3")]), inbox_of(peer))

    with pytest.raises(ClientGoneError):
        await request.body.read(10)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"headers": []}, "bad_request"),
        ({"headers": [HOST, HOST]}, "bad_request"),
        ({"headers": [(b"host", b"a b")]}, "bad_request"),
        ({"headers": [HOST, (b"content-length", b"x")]}, "bad_request"),
        ({"headers": [HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")]}, "bad_request"),
        ({"path": "/../x", "raw_path": b"/../x"}, "bad_target"),
        ({"query_string": b"a\xff"}, "bad_target"),
        ({"method": "CONNECT"}, "method_refused"),
        ({"method": "TRACE"}, "method_refused"),
    ],
)
async def test_what_the_direct_path_refuses_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(DownstreamError) as caught:
        await http_request({**http_scope(), **changes}, inbox_of(Peer()))

    assert caught.value.code == code


@pytest.mark.parametrize(
    ("scope", "path"),
    [
        ({"path": "/a b", "raw_path": b"/a%20b"}, "/a%20b"),
        ({"path": "/a/b", "raw_path": b"/a%2fb"}, "/a%2fb"),
        ({"path": "/a b"}, "/a%20b"),
        ({"path": "/100%", "raw_path": None}, "/100%25"),
        ({"path": "/a", "raw_path": b"/a?q=1"}, "/a"),
        ({"path": "/new", "raw_path": b"/old"}, "/new"),
        ({"path": "/gw/../b", "raw_path": b"/gw/../b", "root_path": "/gw"}, "/../b"),
        ({"path": "*", "raw_path": b"*"}, "*"),
        ({"path": "/gw/a", "raw_path": b"/gw/a", "root_path": "/gw"}, "/a"),
        ({"path": "/gw/a", "raw_path": b"/gw/a", "root_path": "/gw/"}, "/a"),
        ({"path": "/gw", "raw_path": b"/gw", "root_path": "/gw"}, "/"),
        ({"path": "/gw/", "raw_path": b"/gw/", "root_path": "/gw"}, "/"),
        ({"path": "/gwx/a", "raw_path": b"/gwx/a", "root_path": "/gw"}, "/gwx/a"),
        ({"path": "/ü/a%", "raw_path": b"/%C3%BC/a%25", "root_path": "/ü"}, "/a%25"),
        ({"path": "/a/b/c/d", "raw_path": b"/a%2Fb/c%2Fd", "root_path": "/a/b"}, "/c%2Fd"),
        ({"path": "/a", "raw_path": b"/a", "root_path": "/elsewhere"}, "/a"),
    ],
)
def test_the_path_is_the_one_below_the_mount(scope: Scope, path: str) -> None:
    assert raw_path(scope) == path.encode()


def test_a_websocket_becomes_an_upgrade_with_a_handshake_of_its_own() -> None:
    headers = [
        HOST,
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-key", b"theirs"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"sec-websocket-protocol", b"a, b"),
        (b"cookie", b"c=1"),
    ]

    request = websocket_request(websocket_scope("/ws", scheme="wss", headers=headers, subprotocols=["a", "b"]))

    fields = request.headers
    assert (request.method, request.path, request.scheme, request.upgrade) == ("GET", "/ws", "https", "websocket")
    assert len(base64.b64decode(fields["sec-websocket-key"])) == 16
    assert (fields["sec-websocket-version"], fields["sec-websocket-protocol"]) == ("13", "a, b")
    assert ("sec-websocket-extensions" in fields, "upgrade" in fields, fields["cookie"]) == (False, False, "c=1")
