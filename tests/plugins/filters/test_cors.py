from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.cors import Cors
from meshwright_sdk import NoRouteError, Request, Response, problem
from meshwright_sdk.testing import FakeUpstream, build, make_request

SHOP = "https://shop.test"


def request_from(origin: str | None = SHOP, method: str = "GET", **headers: str) -> Request:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return make_request(method, headers=fields | ({"origin": origin} if origin else {}))


def preflight(origin: str = SHOP, method: str = "PUT", headers: str | None = None) -> Request:
    asked = {"access_control_request_headers": headers} if headers else {}
    return request_from(origin, "OPTIONS", access_control_request_method=method, **asked)


async def answer(request: Request, upstream: FakeUpstream | None = None, **options: Any) -> dict[str, str]:
    """Return the headers that browsers and caches look at."""
    cors = build(Cors, **{"allow_origins": [SHOP]} | options)
    response = await cors(request, upstream or FakeUpstream())
    names = [name for name in response.headers if name.startswith("access-control") or name == "vary"]
    return {name: ", ".join(response.headers.getlist(name)) for name in names}


async def test_a_page_of_an_allowed_origin_may_read_the_response() -> None:
    assert await answer(request_from()) == {"vary": "origin", "access-control-allow-origin": SHOP}


@pytest.mark.parametrize("origin", ["https://evil.test", "http://shop.test", "https://shop.test.evil.test", "null", ""])
async def test_a_page_of_another_origin_gets_no_leave(origin: str) -> None:
    upstream = FakeUpstream()

    assert await answer(request_from(origin or None), upstream) == {"vary": "origin"}
    assert len(upstream.requests) == 1


async def test_every_page_may_where_the_star_stands() -> None:
    assert await answer(request_from("https://any.test"), allow_origins=["*"]) == {"access-control-allow-origin": "*"}
    assert await answer(request_from(None), allow_origins=["*"]) == {}


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        ("https://*.shop.test", "https://a.shop.test", True),
        ("https://*.shop.test", "https://a.b-c.shop.test", True),
        ("https://*.shop.test", "https://shop.test", False),
        ("https://*.shop.test", "https://evilshop.test", False),
        ("https://*.shop.test", "https://evil.test/.shop.test", False),
        ("https://*.shop.test", "https://a.shop.test:8443", False),
        ("https://*.shop.test", "https://axshop.test", False),
        ("https://*.shop.test:8443", "https://a.shop.test:8443", True),
        ("http://localhost:*", "http://localhost:3000", True),
        ("http://localhost:*", "http://localhost", True),
        ("http://localhost:*", "http://localhost:x", False),
        ("http://*.local:*", "http://a.local:1", True),
        ("http://[::1]:3000", "http://[::1]:3000", True),
        ("HTTPS://Shop.test:443", "https://shop.test", True),
        ("http://shop.test:80", "http://shop.test", True),
        ("https://shop.test:80", "https://shop.test:80", True),
        ("null", "null", True),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
    ],
)
async def test_origins_are_exact_or_hold_a_star(allowed: str, origin: str, may: bool) -> None:
    headers = await answer(request_from(origin), allow_origins=[allowed])

    assert headers.get("access-control-allow-origin") == (origin if may else None)


@pytest.mark.parametrize(
    ("origin", "may"),
    [("https://pr-1.shop.test", True), ("https://pr-1.shop.test.evil.test", False), ("https://b.test", True)],
)
async def test_a_regular_expression_matches_the_whole_origin(origin: str, may: bool) -> None:
    patterns = ["https://pr-[0-9]+[.]shop[.]test", "(?i)HTTPS://B.TEST"]
    headers = await answer(request_from(origin), allow_origins=[], allow_origin_regex=patterns)

    assert ("access-control-allow-origin" in headers) is may


async def test_credentials_and_exposed_headers_are_told() -> None:
    headers = await answer(request_from(), allow_credentials=True, expose_headers=["x-total", "etag"])

    assert headers == {
        "vary": "origin",
        "access-control-allow-origin": SHOP,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "x-total, etag",
    }


async def test_what_the_upstream_says_about_cors_is_replaced() -> None:
    said = {"access-control-allow-origin": "*", "access-control-allow-credentials": "true", "vary": "Accept"}

    assert await answer(request_from(), FakeUpstream(Response(200, said))) == {
        "vary": "Accept, origin",
        "access-control-allow-origin": SHOP,
    }
    assert await answer(request_from("https://evil.test"), FakeUpstream(Response(200, said))) == {
        "vary": "Accept, origin"
    }


async def test_a_preflight_never_reaches_the_upstream() -> None:
    upstream = FakeUpstream()
    cors = build(Cors, allow_origins=[SHOP], allow_methods=["GET", "PUT"], allow_headers=["x-a"], max_age="1m30s")

    response = await cors(preflight(), upstream)

    assert (response.status, response.body.data, upstream.requests) == (204, b"", [])
    assert dict(response.headers) == {
        "access-control-allow-origin": SHOP,
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "x-a",
        "access-control-max-age": "90",
        "vary": "origin, access-control-request-method, access-control-request-headers",
    }


async def test_a_preflight_of_another_origin_gets_no_leave_and_stays_here() -> None:
    upstream = FakeUpstream()

    headers = await answer(preflight("https://evil.test"), upstream)

    assert list(headers) == ["vary"]
    assert upstream.requests == []


async def test_stars_are_written_out_so_that_they_hold_with_credentials() -> None:
    headers = await answer(
        preflight(method="PURGE", headers="x-a,authorization"),
        allow_methods=["*"],
        allow_headers=["*"],
        allow_credentials=True,
    )

    assert headers["access-control-allow-methods"] == "PURGE"
    assert headers["access-control-allow-headers"] == "x-a,authorization"
    assert headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize(
    "request_in",
    [
        request_from(method="OPTIONS"),
        request_from(None, "OPTIONS", access_control_request_method="PUT"),
        request_from(method="GET", access_control_request_method="PUT"),
    ],
)
async def test_what_is_no_preflight_reaches_the_upstream(request_in: Request) -> None:
    upstream = FakeUpstream()

    await answer(request_in, upstream)

    assert upstream.requests == [request_in]


@pytest.mark.parametrize("error", [NoRouteError(), ZeroDivisionError()])
async def test_a_page_may_read_error_answers(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        await answer(request_from(), FakeUpstream(error), allow_credentials=True)

    headers = problem(raised.value).headers
    assert headers["access-control-allow-origin"] == SHOP
    assert headers["access-control-allow-credentials"] == "true"
    assert headers["vary"] == "origin"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got neither"),
        ({"allow_origins": ["*"], "allow_credentials": True}, "would let any page act"),
        ({"allow_origins": [SHOP], "allow_credentials": True, "expose_headers": ["*"]}, "browsers ignore"),
        ({"allow_origins": ["https://shop.test/"]}, "without a path"),
        ({"allow_origins": ["https://shop.test/x"]}, "without a path"),
        ({"allow_origins": ["shop.test"]}, "expected an origin"),
        ({"allow_origins": ["https://a.*.test"]}, "expected an origin"),
        ({"allow_origins": ["https://*"]}, "expected an origin"),
        ({"allow_origins": ["https://shop.test\n"]}, "expected an origin"),
        ({"allow_origin_regex": ["("]}, "regular expression"),
        ({"allow_origins": ["*"], "allow_methods": []}, "at least 1"),
        ({"allow_origins": ["*"], "allow_methods": ["GET, PUT"]}, "method or header name"),
        ({"allow_origins": ["*"], "allow_headers": ["x\r\ny"]}, "method or header name"),
        ({"allow_origins": ["*"], "max_age": 600}, "a duration with a unit"),
        ({"allow_origin": ["*"]}, "not permitted"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(Cors, **options)
