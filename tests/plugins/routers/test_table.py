from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshwright_plugins.routers.table import Table
from meshwright_sdk import FieldMatch, Match, Request, Response, Route
from meshwright_sdk.testing import build, check_router, make_request


async def answer(request: Request) -> Response:
    return Response.text("ok")


def table_of(*matches: Match) -> Table:
    """Return a table whose routes are named by their places."""
    table = build(Table)
    table.compile([Route(str(place), match, answer, place) for place, match in enumerate(matches)])
    return table


def paths(*texts: str) -> Table:
    table = build(Table)
    table.compile([Route(text, Match(path=text), answer, place) for place, text in enumerate(texts)])
    return table


def chosen(
    table: Table, path: str = "/", *, method: str = "GET", host: str = "shop.test", **headers: str
) -> str | None:
    route = table.match(make_request(method, f"http://{host}{path}", headers=headers))
    return None if route is None else route.name


@pytest.mark.parametrize(
    ("pattern", "taken", "refused"),
    [
        ("/orders", ["/orders"], ["/orders/", "/ordersx", "/orders/1", "/order", "/Orders", "/"]),
        ("/orders/", ["/orders/"], ["/orders", "/orders//"]),
        ("/orders/*", ["/orders", "/orders/", "/orders/1", "/orders/1/2", "/orders//"], ["/ordersx", "/order", "/"]),
        ("/*", ["/", "/a", "/a/b/c", "//"], []),
        ("/", ["/"], ["//", "/a"]),
        ("/users/{id}", ["/users/1", "/users/a%2Fb"], ["/users", "/users/", "/users/1/", "/users/1/2", "/user/1"]),
        ("/users/{id}/", ["/users/1/"], ["/users/1", "/users//"]),
        ("/users/{id}/posts", ["/users/1/posts"], ["/users/1", "/users//posts", "/users/1/posts/2"]),
        ("/users/{id}/*", ["/users/1", "/users/1/", "/users/1/2/3"], ["/users", "/users/", "/users//x"]),
        ("/{a}/{b}", ["/x/y"], ["/x", "/x/", "//y", "/x/y/z"]),
        ("/café", ["/caf%C3%A9"], ["/caf"]),
        ("/caf%c3%a9/%61", ["/caf%C3%A9/a"], []),
        ("/a b", ["/a%20b"], []),
        ("/a%2fb", ["/a%2Fb"], ["/a/b"]),
    ],
)
def test_a_path_takes_whole_segments(pattern: str, taken: list[str], refused: list[str]) -> None:
    table = paths(pattern)

    assert [path for path in taken if chosen(table, path) is None] == []
    assert [path for path in refused if chosen(table, path) is not None] == []


def test_a_regex_matches_the_whole_path() -> None:
    table = table_of(Match(path_regex=re.compile(r"/v\d+/(?P<kind>\w+)(?:/(?P<id>.+))?")))
    request = make_request(url="/v2/orders/a%20b")

    assert (chosen(table, "/v2/orders"), chosen(table, "/v2/orders-x"), chosen(table, "/x/v2/orders")) == (
        "0",
        None,
        None,
    )
    assert table.match(request) is not None
    assert request.path_params == {"kind": "orders", "id": "a b"}


def test_parameters_are_percent_decoded() -> None:
    request = make_request(url="/users/a%2Fb%20c/posts/%C3%A9/x/y")

    assert paths("/users/{user}/posts/{post}/*").match(request) is not None
    assert request.path_params == {"user": "a/b c", "post": "é"}


def test_each_route_of_one_place_in_the_tree_has_its_own_names() -> None:
    table = table_of(
        Match(path="/users/{id}", methods=frozenset({"GET"})), Match(path="/users/{name}", methods=frozenset({"PUT"}))
    )
    got, put = make_request("GET", "/users/7"), make_request("PUT", "/users/7")
    table.match(got)
    table.match(put)

    assert (got.path_params, put.path_params) == ({"id": "7"}, {"name": "7"})


def test_a_request_without_a_route_keeps_its_parameters() -> None:
    request = make_request(url="/elsewhere")

    assert paths("/users/{id}").match(request) is None
    assert request.path_params == {}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/users/me", "/users/me"),
        ("/users/7", "/users/{id}"),
        ("/users/7/posts", "/users/{id}/posts"),
        ("/users/me/posts", "/users/me/{what}"),
        ("/users/7/likes", "/{a}/{b}/{c}"),
        ("/users/7/likes/9", "/users/{id}/*"),
        ("/users/me/likes/9", "/users/me/*"),
        ("/users/", "/users/*"),
        ("/else/where", "/*"),
    ],
)
def test_the_most_specific_path_wins(path: str, expected: str) -> None:
    patterns = [
        "/*", "/users/*", "/users/{id}/*", "/users/me/*", "/{a}/{b}/{c}", "/users/{id}/posts", "/users/me/{what}",
        "/users/{id}", "/users/me",
    ]  # fmt: skip

    assert chosen(paths(*patterns), path) == expected
    assert chosen(paths(*reversed(patterns)), path) == expected


def test_the_longest_prefix_wins() -> None:
    table = paths("/*", "/a/b/*", "/a/b/c/d/*", "/a/*")

    found = [chosen(table, path) for path in ("/a/b/c/d/e", "/a/b/c", "/a/b", "/a", "/b")]

    assert found == ["/a/b/c/d/*", "/a/b/*", "/a/b/*", "/a/*", "/*"]


def test_a_path_may_have_more_segments_than_python_has_room_for_calls() -> None:
    long = "/a" * 2 * sys.getrecursionlimit()
    table = paths(f"{long}/*", "/a/*")

    assert (chosen(table, f"{long}/b"), chosen(table, long[2:])) == (f"{long}/*", "/a/*")


def test_a_prefix_comes_before_a_regex() -> None:
    table = table_of(
        Match(path_regex=re.compile("/orders/.*")), Match(path="/orders/*"), Match(path_regex=re.compile("/.*"))
    )

    assert (chosen(table, "/orders/1"), chosen(table, "/x")) == ("1", "2")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("shop.example.com", "shop.example.com"),
        ("a.shop.example.com", "*.shop.example.com"),
        ("a.b.shop.example.com", "*.shop.example.com"),
        ("other.example.com", "*.example.com"),
        ("example.com", ""),
        (".example.com", ""),
        ("xexample.com", ""),
        ("example.org", ""),
        ("", ""),
    ],
)
def test_the_most_specific_host_wins(host: str, expected: str) -> None:
    hosts = ["", "*.example.com", "*.shop.example.com", "shop.example.com"]
    table = build(Table)
    table.compile([Route(host, Match(hosts=(host,) if host else ()), answer) for host in hosts])
    request = make_request()
    request.host = host
    route = table.match(request)

    assert route is not None
    assert route.name == expected


def test_a_host_weighs_more_than_a_path() -> None:
    table = table_of(
        Match(path="/orders"), Match(hosts=("*.example.com",), path="/orders/*"), Match(hosts=("a.example.com",))
    )

    assert chosen(table, "/orders", host="a.example.com") == "2"
    assert chosen(table, "/orders", host="b.example.com") == "1"


def test_a_request_that_its_host_has_no_route_for_falls_through_to_wider_hosts() -> None:
    table = table_of(
        Match(),
        Match(hosts=("*.example.com",), path="/wild"),
        Match(hosts=("*.a.example.com",), path="/narrow"),
        Match(hosts=("x.a.example.com",), path="/exact", methods=frozenset({"POST"})),
    )

    found = [chosen(table, path, host="x.a.example.com") for path in ("/exact", "/narrow", "/wild", "/else")]

    assert found == ["0", "2", "1", "0"]


def test_a_route_with_several_hosts_is_found_under_each() -> None:
    table = table_of(Match(), Match(hosts=("a.test", "*.b.test", "[::1]")))

    assert [chosen(table, host=host) for host in ("a.test", "x.b.test", "[::1]:80", "b.test")] == ["1", "1", "1", "0"]


def test_methods_weigh_more_than_headers_than_query_than_cookies_than_order() -> None:
    one, two = FieldMatch(name="x-a"), FieldMatch(name="x-b")
    matches = [
        Match(path="/p"),
        Match(path="/p"),
        Match(path="/p", cookies=(one,)),
        Match(path="/p", query=(one,)),
        Match(path="/p", query=(one,), cookies=(one,)),
        Match(path="/p", headers=(one,), query=(one, two)),
        Match(path="/p", headers=(one, two)),
        Match(path="/p", methods=frozenset({"GET"})),
    ]
    full = make_request(url="/p?x-a=1&x-b=1", headers={"x-a": "1", "x-b": "1", "cookie": "x-a=1"})
    found = []
    while True:
        route = table_of(*matches).match(full)
        if route is None:
            break
        found.append(len(matches) - 1 - int(route.name))
        matches[int(route.name)] = Match(path="/elsewhere")
        if len(found) == len(matches):
            break

    assert found == [0, 1, 2, 3, 4, 5, 7, 6]


def test_a_failed_condition_lets_the_next_route_have_the_request() -> None:
    beta = FieldMatch(name="x-beta", exact="1")
    table = table_of(
        Match(path="/orders", headers=(beta,)),
        Match(path="/orders/*", query=(beta,)),
        Match(path="/*", cookies=(beta,)),
    )
    requests = [
        make_request(url="/orders", headers={"x-beta": "1"}),
        make_request(url="/orders?x-beta=1"),
        make_request(url="/orders", headers={"cookie": "x-beta=1"}),
        make_request(url="/orders", headers={"x-beta": "2"}),
    ]

    assert [route and route.name for route in map(table.match, requests)] == ["0", "1", "2", None]


@pytest.mark.parametrize(
    ("match", "problem"),
    [
        (Match(path="orders"), "path: expected a path that starts with /; got 'orders'"),
        (Match(path=""), "path: expected a path that starts with /; got ''"),
        (Match(path="/a?b=1"), "path: expected a path alone (a query is matched by `query`); got '/a?b=1'"),
        (Match(path="/a*"), "path: expected * as the whole last segment, as in /orders/*; got '/a*'"),
        (Match(path="/*/a"), "path: expected * as the whole last segment, as in /orders/*; got '/*/a'"),
        (Match(path="/{rest*}"), "path: expected * as the whole last segment, as in /orders/*; got '/{rest*}'"),
        (Match(path="/{a}/{a}"), "path: expected each name in braces once; got '/{a}/{a}'"),
        (Match(path="/v{a}"), "as a whole segment, as in /users/{id}; got '/v{a}'"),
        (Match(path="/{a}.json"), "as a whole segment, as in /users/{id}; got '/{a}.json'"),
        (Match(path="/{a}{b}"), "as a whole segment, as in /users/{id}; got '/{a}{b}'"),
        (Match(path="/{}"), "as a whole segment, as in /users/{id}; got '/{}'"),
        (Match(path="/{a"), "as a whole segment, as in /users/{id}; got '/{a'"),
        (Match(path="/{1a}"), "as a whole segment, as in /users/{id}; got '/{1a}'"),
        (Match(path="/a/../b"), "path: expected no . and .. segments"),
        (Match(path="/100%"), "path: expected escapes such as %20, and none of NUL; got '/100%'"),
        (Match(path="/%00"), "path: expected escapes such as %20, and none of NUL; got '/%00'"),
        (Match(path="/a", path_regex=re.compile("a")), "path: expected path or path_regex; got both"),
        (Match(hosts=("Shop.test",)), "hosts: expected a lower-case name without port"),
        (Match(hosts=("shop.test:80",)), "got 'shop.test:80'"),
        (Match(hosts=("::1",)), "got '::1'"),
        (Match(hosts=("*",)), "or none for any host; got '*'"),
        (Match(hosts=("a.*.test",)), "got 'a.*.test'"),
        (Match(hosts=("*a.test",)), "got '*a.test'"),
        (Match(hosts=("",)), "got ''"),
    ],
)
def test_a_route_that_could_never_match_is_refused(match: Match, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)) as caught:
        build(Table).compile([Route("orders", match, answer)])

    assert str(caught.value).startswith("route orders: ")


def test_every_wrong_route_is_named_at_once_and_the_table_stays_as_it_was() -> None:
    table = paths("/old")

    with pytest.raises(ValueError, match=r"route a: .*; route c: ") as caught:
        table.compile([Route(name, Match(path=path), answer) for name, path in (("a", "x"), ("b", "/new"), ("c", "y"))])

    assert str(caught.value).count("route ") == 2
    assert (chosen(table, "/old"), chosen(table, "/new")) == ("/old", None)


def test_compiling_again_replaces_every_route() -> None:
    table = paths("/old/*")
    table.compile([Route("new", Match(hosts=("a.test",)), answer)])

    assert (chosen(table, "/old"), chosen(table, "/old", host="a.test")) == (None, "new")


def test_explain_says_why_each_route_was_or_was_not_chosen() -> None:
    table = build(Table)
    matches = {
        "any": Match(),
        "post": Match(path="/orders/*", methods=frozenset({"POST"})),
        "orders": Match(path="/orders/*"),
        "beta": Match(
            hosts=("shop.test", "*.shop.test"), path="/orders/*", headers=(FieldMatch(name="x-beta", exact="1"),)
        ),
        "users": Match(hosts=("shop.test",), path="/users/{id}"),
        "twin": Match(path="/orders/*"),
        "regex": Match(path_regex=re.compile("/o.*")),
    }
    table.compile([Route(name, match, answer) for name, match in matches.items()])
    request = make_request(url="http://shop.test/orders/7", headers={"x-beta": "2"})

    verdicts = [(verdict.route.name, verdict.chosen, verdict.reason) for verdict in table.explain(request)]

    assert verdicts == [
        ("users", False, "path: expected /users/{id}; got '/orders/7'"),
        ("beta", False, "header: expected x-beta=1; got '2'"),
        ("post", False, "method: expected POST; got GET"),
        ("orders", True, "chosen: any host, path /orders/*"),
        ("twin", False, "would match, but orders comes first: it stands earlier in the file"),
        ("any", False, "would match, but orders comes first: its path is more specific"),
        ("regex", False, "would match, but orders comes first: its path is more specific"),
    ]
    assert request.path_params == {}


def test_explain_names_the_host_and_all_that_failed() -> None:
    table = table_of(Match(hosts=("a.test", "*.b.test"), path="/x", methods=frozenset({"POST"})))

    [verdict] = table.explain(make_request(url="http://c.test/y"))

    assert verdict.reason == (
        "host: expected a.test|*.b.test; got 'c.test'; path: expected /x; got '/y'; method: expected POST; got GET"
    )


SEGMENTS = ["a", "b", "aa", ""]
HOSTS = ["a.test", "b.test", "x.a.test", "y.x.a.test", "*.a.test", "*.x.a.test", "*.test"]
FIELDS = [FieldMatch(name="x", exact="1"), FieldMatch(name="y"), FieldMatch(name="x", present=False)]


def path_patterns() -> st.SearchStrategy[str]:
    segment = st.sampled_from([*SEGMENTS, "{}"])
    body = st.lists(segment, max_size=3).map(
        lambda parts: [f"{{p{place}}}" if part == "{}" else part for place, part in enumerate(parts)]
    )
    return st.builds(lambda parts, tail: "/" + "/".join(parts + tail), body, st.sampled_from([[], [], ["*"]]))


def matches() -> st.SearchStrategy[Match]:
    fields = st.lists(st.sampled_from(FIELDS), max_size=2, unique=True).map(tuple)
    where: st.SearchStrategy[dict[str, Any]] = st.one_of(
        path_patterns().map(lambda path: {"path": path}),
        st.sampled_from(["/a/.*", ".*", "/[ab]+"]).map(lambda regex: {"path_regex": re.compile(regex)}),
        st.just({}),
    )
    return st.builds(
        lambda where, hosts, methods, headers, query, cookies: Match(
            hosts=tuple(hosts), methods=methods, headers=headers, query=query, cookies=cookies, **where
        ),
        where,
        st.lists(st.sampled_from(HOSTS), max_size=2, unique=True),
        st.frozensets(st.sampled_from(["GET", "POST"]), max_size=1),
        fields,
        fields,
        fields,
    )


def requests() -> st.SearchStrategy[Request]:
    field = st.sampled_from(["", "x=1", "x=2", "y=0", "x=1&y=0"])
    return st.builds(
        lambda method, host, parts, query, header, cookie: make_request(
            method,
            f"http://{host}/{'/'.join(parts)}?{query}",
            headers=[("cookie", cookie.replace("&", "; ")), *(pair.split("=") for pair in header.split("&") if pair)],
        ),
        st.sampled_from(["GET", "POST", "PUT"]),
        st.sampled_from(["a.test", "x.a.test", "y.x.a.test", "b.test", "other"]),
        st.lists(st.sampled_from(SEGMENTS), max_size=4),
        field,
        field,
        field,
    )


def naive(matches: Sequence[Match], request: Request) -> int | None:
    """Return the place of the chosen route, found by looking at each under each host: written from the rules alone."""
    fulfilled = [
        ((host_order(host), *order(match)), place)
        for place, match in enumerate(matches)
        for host in match.hosts or ("",)
        if host_fits(host, request.host) and path_fits(match, request.path) and match.accepts_fields(request)
    ]
    return min(fulfilled)[1] if fulfilled else None


def host_order(host: str) -> tuple[int, int]:
    return (2, 0) if not host else (1, -host.count(".")) if host.startswith("*.") else (0, 0)


def host_fits(host: str, asked: str) -> bool:
    return (
        not host
        or host == asked
        or (host.startswith("*.") and re.fullmatch(".+" + re.escape(host[1:]), asked) is not None)
    )


def path_fits(match: Match, path: str) -> bool:
    if match.path_regex:
        return match.path_regex.fullmatch(path) is not None
    text, is_prefix = match.path or "/*", (match.path or "/*").endswith("/*")
    body = "/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in text.removesuffix("/*").split("/"))
    return re.fullmatch(body + ("(/.*)?" if is_prefix else ""), path) is not None


def order(match: Match) -> tuple[object, ...]:
    text = match.path or "/*"
    parameters = [part.startswith("{") for part in text.split("/")]
    if match.path_regex:
        path: tuple[object, ...] = (3, 0, [])
    elif text.endswith("/*"):
        path = (2, -text.count("/"), parameters)
    else:
        path = (1, 0, parameters) if any(parameters) else (0, 0, [])
    return (path, not match.methods, -len(match.headers), -len(match.query), -len(match.cookies))


@given(st.lists(matches(), max_size=12), st.lists(requests(), min_size=1, max_size=5))
@example([Match(path="/{p0}"), Match(path="//*")], [make_request(url="http://a.test//")])
def test_the_index_finds_what_a_look_at_each_route_finds(matches: list[Match], requests: list[Request]) -> None:
    table = table_of(*matches)
    for request in requests:
        route = table.match(request)
        expected = naive(matches, request)
        verdicts = table.explain(request)

        assert (route and int(route.name)) == expected
        assert sorted(int(verdict.route.name) for verdict in verdicts) == list(range(len(matches)))
        assert [int(verdict.route.name) for verdict in verdicts if verdict.chosen] == [expected] * (
            expected is not None
        )


def test_a_match_among_ten_thousand_routes_takes_the_steps_of_a_match_among_a_hundred() -> None:
    kinds = ["/s{0}", "/api/s{0}/*", "/s{0}/{{id}}", "/s{0}/{{id}}/*"]
    table, small = build(Table), build(Table)
    routes = [
        Route(str(place), Match(hosts=(f"h{place % 100}.test",), path=kinds[place % 4].format(place)), answer)
        for place in range(10_000)
    ]
    table.compile(routes)
    small.compile(routes[:101])
    request = make_request(url="http://h1.test/api/s1/orders")

    assert lines_run(table, request) == lines_run(small, request)


def lines_run(table: Table, request: Request) -> int:
    """Return how many lines of Python one match runs: what time would say, without the machine's other work."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        table.match(request)
    finally:
        sys.settrace(before)
    return lines


async def test_it_holds_to_the_contract_of_routers() -> None:
    await check_router(lambda: build(Table))
