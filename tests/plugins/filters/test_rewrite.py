from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.filters.rewrite import Rewrite
from meshwright_sdk import Context, DownstreamError, Match, Request
from meshwright_sdk.testing import FakeUpstream, build, make_request


async def rewritten(url: str, params: dict[str, str] | None = None, **options: Any) -> Request:
    """Return the request that the upstream gets."""
    upstream, request = FakeUpstream(), make_request("GET", url)
    request.path_params = params or {}
    await build(Rewrite, **options)(request, upstream)
    return upstream.requests[0]


@pytest.mark.parametrize(
    ("options", "path", "after"),
    [
        ({}, "/a", "/a"),
        ({"strip_prefix": "/api"}, "/api/orders", "/orders"),
        ({"strip_prefix": "/api"}, "/api/", "/"),
        ({"strip_prefix": "/api"}, "/api", "/"),
        ({"strip_prefix": "/api"}, "/apis", "/apis"),
        ({"strip_prefix": "/api"}, "/other/api", "/other/api"),
        ({"strip_prefix": "/api"}, "/api/api/x", "/api/x"),
        ({"strip_prefix": "/a/b"}, "/a/b%2Fc/d", "/a/b%2Fc/d"),
        ({"add_prefix": "/v2"}, "/orders", "/v2/orders"),
        ({"add_prefix": "/v2"}, "/", "/v2/"),
        ({"strip_prefix": "/api", "add_prefix": "/v2"}, "/api/orders/", "/v2/orders/"),
        ({"strip_prefix": "/api", "add_prefix": "/v2"}, "/api", "/v2"),
        ({"strip_prefix": "/api", "add_prefix": "/v2"}, "/other", "/v2/other"),
        ({"path": "/fixed"}, "/a/b", "/fixed"),
        ({"path": "/new{path}"}, "/a%2Fb/c", "/new/a%2Fb/c"),
        ({"regex": {"pattern": "^/shop/([^/]+)/cart$", "to": r"/carts/\1"}}, "/shop/a%20b/cart", "/carts/a%20b"),
        ({"regex": {"pattern": "(?P<a>o)", "to": r"\g<a>0"}}, "/foo", "/fo0o0"),
        ({"regex": {"pattern": "^/old", "to": ""}}, "/old", "/"),
        ({"regex": {"pattern": "^/old/", "to": ""}}, "/old/x", "/x"),
        ({"regex": {"pattern": "^/old", "to": "/new"}}, "/other", "/other"),
    ],
)
async def test_the_upstream_sees_the_new_path(options: dict[str, Any], path: str, after: str) -> None:
    assert (await rewritten(path, **options)).path == after


async def test_a_parameter_of_the_path_is_put_in() -> None:
    request = await rewritten("/users/7", {"id": "7"}, path="/internal/{id}/profile")

    assert request.target == "/internal/7/profile"


@given(st.text())
async def test_a_parameter_stays_one_segment(value: str) -> None:
    try:
        path = (await rewritten("/", {"x": value}, path="/a/{x}/b")).path
    except DownstreamError:
        assert value in (".", "..")
        return

    before, segment, after = path.removeprefix("/").split("/")
    assert (before, unquote(segment), after) == ("a", value, "b")
    assert re.fullmatch(r"[!-~]+", segment) or value == ""


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        ("/x/a..b", "[ab]"),
        ("/a/b./c", "b"),
        ("/%252E%252E/x", "25"),
        ("/a%2Fb", "Fb"),
        ("/a%C3", "3"),
    ],
)
async def test_a_path_that_an_upstream_would_resolve_otherwise_is_refused(path: str, pattern: str) -> None:
    upstream = FakeUpstream()

    with pytest.raises(DownstreamError) as raised:
        await build(Rewrite, regex={"pattern": pattern, "to": ""})(make_request("GET", path), upstream)

    assert (raised.value.status, upstream.requests) == (400, [])


async def test_the_host_is_changed_as_a_whole() -> None:
    request = await rewritten("http://shop.test/", host="Orders.internal:8080")

    assert (request.headers.getlist("host"), request.host) == (["Orders.internal:8080"], "orders.internal")


@pytest.mark.parametrize(("host", "name"), [("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a_b", "a_b")])
async def test_a_host_goes_without_its_port(host: str, name: str) -> None:
    assert (await rewritten("/", host=host)).host == name


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        ("a=1&b=2&a=3", {"remove": ["a"]}, "b=2"),
        ("a=1&b=2", {"set": {"a": "x y&z"}}, "b=2&a=x%20y%26z"),
        ("b=%41&c", {"set": {"a": "1"}}, "b=%41&c&a=1"),
        ("", {"set": {"a b": "{client}"}}, "a%20b=192.0.2.1"),
        ("%61=1&a+b=2&c", {"remove": ["a", "a b", "c"]}, ""),
        ("&&b=1", {"remove": ["a"]}, "b=1"),
        ("b=1", {}, "b=1"),
    ],
)
async def test_the_query_is_changed_where_it_is_named(before: str, changes: dict[str, Any], after: str) -> None:
    assert (await rewritten(f"/?{before}", query=changes)).query == after


@given(st.text(), st.text())
async def test_a_value_in_the_query_stays_one_parameter(name: str, value: str) -> None:
    request = await rewritten("/?k=1", {"x": value}, query={"set": {name: "{param:x}"}})

    kept = [] if name == "k" else [("k", "1")]
    assert parse_qsl(request.query, keep_blank_values=True) == [*kept, (name, value)]


async def test_placeholders_of_the_query_show_what_the_client_sent() -> None:
    request = await rewritten(
        "http://shop.test/old", path="/new", host="other.test", query={"set": {"was": "{host}{path}"}}
    )

    assert request.target == "/new?was=shop.test%2Fold"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "/a", "strip_prefix": "/b"}, "got several"),
        ({"path": "/a", "regex": {"pattern": "a", "to": "b"}}, "got several"),
        ({"add_prefix": "/a", "regex": {"pattern": "a", "to": "b"}}, "got several"),
        ({"strip_prefix": "api"}, "a slash before it"),
        ({"strip_prefix": "/api/"}, "none behind"),
        ({"add_prefix": "/"}, "none behind"),
        ({"add_prefix": "/a/../b"}, "dot segments"),
        ({"add_prefix": "/a b"}, "percent-encoded"),
        ({"path": "a"}, "expected http"),
        ({"path": "https://x.test/"}, "without host and query"),
        ({"path": "/a?b=1"}, "without host and query"),
        ({"path": "/a#b"}, "without host and query"),
        ({"path": "/a/../b"}, "without dot segments"),
        ({"path": "/a/%2e/b"}, "without dot segments"),
        ({"regex": {"pattern": "(", "to": "b"}}, "regular expression"),
        ({"regex": {"pattern": "a", "to": r"/\1"}}, "groups that the pattern has"),
        ({"regex": {"pattern": "a", "to": r"/\g<b>"}}, "groups that the pattern has"),
        ({"regex": {"pattern": "a", "to": r"/\n"}}, "are groups"),
        ({"regex": {"pattern": "a", "to": "/a b"}}, "are groups"),
        ({"regex": {"pattern": "a", "to": "/?b"}}, "are groups"),
        ({"regex": {"pattern": "a"}}, "required"),
        ({"host": "http://x"}, "expected a host name"),
        ({"host": "x:0"}, "expected a host name"),
        ({"host": "x:65536"}, "expected a host name"),
        ({"host": "a b"}, "expected a host name"),
        ({"host": ""}, "expected a host name"),
        ({"query": {"set": {"a": "{clinet}"}}}, "did you mean"),
        ({"prefix": "/a"}, "not permitted"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(Rewrite, **options)


@pytest.mark.parametrize("options", [{"path": "/a/{idd}"}, {"query": {"set": {"a": "{param:idd}"}}}])
def test_a_parameter_that_the_route_does_not_have_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"in place of \{idd\}"):
        build(Rewrite, context=Context(match=Match(path="/users/{id}")), **options)
