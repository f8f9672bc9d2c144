"""Targets and Hosts as raw bytes on the wire, each whole and one byte at a time."""

from __future__ import annotations

import pytest

from meshwright.http1.forwarding import Forwarding, Trusted
from meshwright.http1.target import PathRules
from tests.core.http1.harness import gateway_to, serving
from tests.core.http1.test_proxy import Keeping as KeepingUpstream
from tests.core.http1.test_proxy import code
from tests.core.http1.test_server import Keeping


@pytest.mark.parametrize(
    ("target", "host", "sent"),
    [
        (b"http://shop.test/a/b?c=d", "shop.test", "/a/b?c=d"),
        (b"HTTP://Shop.Test/a", "shop.test", "/a"),
        (b"hTTp://shop.test:8080/a", "shop.test", "/a"),
        (b"http://shop.test", "shop.test", "/"),
        (b"http://shop.test/", "shop.test", "/"),
        (b"http://shop.test?c=d", "shop.test", "/?c=d"),
        (b"http://shop.test:81?", "shop.test", "/"),
        (b"http://[2001:DB8::1]:80/a", "[2001:db8::1]", "/a"),
        (b"http://[::1]", "[::1]", "/"),
        (b"http://10.0.0.1:80/a", "10.0.0.1", "/a"),
        (b"http://shop.test./a", "shop.test", "/a"),
        (b"http://shop.test:/a", "shop.test", "/a"),
        (b"http://shop.test/a/../b/%7e", "shop.test", "/b/~"),
        (b"http://shop.test//a", "shop.test", "/a"),
        (b"http://shop.test/http://b/c", "shop.test", "/http:/b/c"),
        (b"http://shop.test/a?http://u@b/", "shop.test", "/a?http://u@b/"),
    ],
)
async def test_an_absolute_target_says_host_and_path(target: bytes, host: str, sent: str, bytewise: bool) -> None:
    handle = Keeping()
    async with serving(handle, bytewise=bytewise) as server:
        answer = await server.ask(b"GET ", target, b" HTTP/1.1\r\nHost: other\r\n\r\n")

    authority = target.split(b"//", 1)[1].partition(b"/")[0].partition(b"?")[0].decode()
    assert answer.status == 200
    assert (handle.request.host, handle.request.target) == (host, sent)
    assert handle.request.headers.getlist("host") == [authority]
    assert handle.request.headers["x-forwarded-host"] == authority


@pytest.mark.parametrize(
    "target",
    [
        *(b"http://user@shop.test/", b"http://user:word@shop.test/", b"http://@shop.test/", b"http://shop.test@evil/"),
        *(b"http:///a", b"http://", b"http://?a", b"http://:80/", b"http:/shop.test/", b"http:shop.test/a", b"http:"),
        *(b"http://a,b/", b"http://a:99999/", b"http://a:x/", b"http://a:0/", b"http://[::1/", b"http://::1/"),
        *(b"http://[1::2::3]/", b"http://a%2fb/", b"http://a%41/", b"http://a\\b/", b"http://a..b/", b"http://*/"),
        *(b"http://a/b#c", b"http://a#b", b"ftp://a/", b"ws://a/", b"/a/b#", b"a", b"a/b", b"?a", b"*a"),
        *(b"http://a/../../b", b"http://a/%", b"http://a/?b#c", b"\\a", b"http://b\xc3\xbccher/", b"://a/"),
    ],
)
async def test_any_other_target_is_refused(target: bytes) -> None:
    handle = Keeping()
    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.message()).status == 400
        assert await wire.ended()
    assert handle.requests == []


@pytest.mark.parametrize("host", [b"", b"Host: a\r\nHost: a\r\n", b"Host: a b\r\n", b"Host:\r\n", b"Host: u@a\r\n"])
async def test_beside_an_absolute_target_host_has_to_be_one_all_the_same(host: bytes, bytewise: bool) -> None:
    async with serving(Keeping(), bytewise=bytewise) as server:
        answer = await server.ask(b"GET http://shop.test/ HTTP/1.1\r\n", host, b"\r\n")
    assert answer.status == 400


async def test_an_absolute_target_of_http_1_0_needs_no_host(bytewise: bool) -> None:
    handle = Keeping()
    async with serving(handle, bytewise=bytewise) as server:
        await server.ask(b"GET http://shop.test/a HTTP/1.0\r\n\r\n")
    assert (handle.request.host, handle.request.headers.getlist("host")) == ("shop.test", ["shop.test"])


async def test_an_https_target_is_misdirected_unless_a_trusted_proxy_says_that_it_came_by_tls() -> None:
    handle = Keeping()
    request = b"GET https://shop.test/ HTTP/1.1\r\nHost: shop.test\r\nX-Forwarded-Proto: https\r\n\r\n"
    async with serving(handle) as server:
        answer = await server.ask(request)
    async with serving(handle, forwarding=Forwarding(trusted=Trusted(["127.0.0.1"]))) as server:
        believed = await server.ask(request)

    assert (answer.status, code(answer), believed.status) == (421, "misdirected", 200)
    assert handle.request.scheme == "https"


@pytest.mark.parametrize("line", [b"CONNECT a:80", b"CONNECT /", b"TRACE /", b"TRACE *", b"TRACE http://a/"])
async def test_connect_and_trace_are_refused(line: bytes, bytewise: bool) -> None:
    handle = Keeping()
    async with serving(handle, bytewise=bytewise) as server:
        answer = await server.ask(line, b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (answer.status, handle.requests) == (405, [])
    assert "GET" in answer.headers["allow"]
    assert "TRACE" not in answer.headers["allow"]


async def test_options_of_the_whole_server_reaches_the_service(bytewise: bool) -> None:
    script = KeepingUpstream()
    async with gateway_to(script, bytewise=bytewise) as rig:
        answer = await rig.ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert answer.status == 200
    assert script.requests[0].start == "OPTIONS * HTTP/1.1"


@pytest.mark.parametrize(
    ("value", "host"),
    [
        (b"shop.test", "shop.test"),
        (b"SHOP.Test", "shop.test"),
        (b"shop.test:8080", "shop.test"),
        (b"shop.test:65535", "shop.test"),
        (b"shop.test:", "shop.test"),
        (b"shop.test.", "shop.test"),
        (b"shop.test.:80", "shop.test"),
        (b" \tshop.test \t", "shop.test"),
        (b"a_b", "a_b"),
        (b"127.0.0.1", "127.0.0.1"),
        (b"[::1]", "[::1]"),
        (b"[2001:DB8::1]:80", "[2001:db8::1]"),
    ],
)
async def test_a_host_names_one_host(value: bytes, host: str, bytewise: bool) -> None:
    handle = Keeping()
    async with serving(handle, bytewise=bytewise) as server:
        answer = await server.ask(b"GET / HTTP/1.1\r\nHost:", value, b"\r\n\r\n")
    assert answer.status == 200
    assert handle.request.host == host
    assert handle.request.headers.getlist("host") == [value.strip().decode()]


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"Host:\r\n",
        b"Host: \t \r\n",
        b"Host: a\r\nHost: b\r\n",
        b"Host: a\r\nX: y\r\nhost: a\r\n",
        b"Host: a, b\r\n",
        b"Host: a,b\r\n",
        b"Host: a b\r\n",
        b"Host: a\tb\r\n",
        b"Host: user@a\r\n",
        b"Host: user:word@a\r\n",
        b"Host: a/b\r\n",
        b"Host: a?b\r\n",
        b"Host: a#b\r\n",
        b"Host: a\\b\r\n",
        b"Host: http://a\r\n",
        b"Host: a:65536\r\n",
        b"Host: a:0\r\n",
        b"Host: a:-1\r\n",
        b"Host: a:80:80\r\n",
        b"Host: a:8x\r\n",
        b"Host: :80\r\n",
        b"Host: .\r\n",
        b"Host: a..b\r\n",
        b"Host: .a\r\n",
        b"Host: a..\r\n",
        b"Host: *\r\n",
        b"Host: *.a\r\n",
        b"Host: a%2eb\r\n",
        b"Host: b\xc3\xbccher\r\n",
        b"Host: a\xff\r\n",
        b"Host: a;b\r\n",
        b"Host: 'a'\r\n",
        b"Host: a(b)\r\n",
        b"Host: ::1\r\n",
        b"Host: [::1\r\n",
        b"Host: [::1]x\r\n",
        b"Host: [fe80::1%25eth0]\r\n",
        b"Host: [127.0.0.1]\r\n",
        b"Host: " + b"a" * 300 + b"\r\n",
    ],
)
async def test_any_other_host_is_refused_and_the_connection_closed(fields: bytes) -> None:
    handle = Keeping()
    async with serving(handle) as server:
        wire = await server.client()
        await wire.send(b"GET / HTTP/1.1\r\n", fields, b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.message()).status == 400
        assert await wire.ended()
    assert handle.requests == []


@pytest.mark.parametrize(
    ("rules", "target", "sent"),
    [
        (PathRules(), b"//admin/./x/../%61?q=//%2e", "/admin/a?q=//%2e"),
        (PathRules(merge_slashes=False), b"//admin", "//admin"),
        (PathRules(), b"/a%2fb\\c", "/a%2Fb%5Cc"),
        (PathRules(encoded_slash="decode", backslash="slash"), b"/a%2fb\\c", "/a/b/c"),
        (PathRules(encoded_slash="refuse"), b"/a%2fb", None),
        (PathRules(backslash="refuse"), b"/a%5cb", None),
        (PathRules(), b"/a%2f..%2fb", None),
    ],
)
async def test_the_service_gets_the_path_that_filters_see(
    rules: PathRules, target: bytes, sent: str | None, bytewise: bool
) -> None:
    script = KeepingUpstream()
    async with gateway_to(script, bytewise=bytewise, forwarding=Forwarding(path=rules)) as rig:
        answer = await rig.ask(b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n")
        targets = [request.target for request in rig.begun]

    assert answer.status == (400 if sent is None else 200)
    assert targets == [request.target for request in script.requests] == ([] if sent is None else [sent])
