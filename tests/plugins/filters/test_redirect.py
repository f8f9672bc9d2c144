from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.redirect import Redirect
from meshwright_sdk import Context, DownstreamError, Match, Request
from meshwright_sdk.testing import FakeUpstream, build, make_request


async def location_of(request: Request, **options: Any) -> str:
    response = await build(Redirect, **options)(request, FakeUpstream())
    return response.headers["location"]


@pytest.mark.parametrize(
    ("options", "location"),
    [
        ({"to": "/new"}, "/new?page=2"),
        ({"to": "/new?x=1"}, "/new?x=1&page=2"),
        ({"to": "/new#top"}, "/new?page=2#top"),
        ({"to": "/new?x=1#{path}"}, "/new?x=1&page=2#%2Fold%2Fa%2520b"),
        ({"to": "/new", "keep_query": False}, "/new"),
        ({"to": "/v2{path}"}, "/v2/old/a%20b?page=2"),
        ({"to": "https://new.test{path}"}, "https://new.test/old/a%20b?page=2"),
        ({"to": "/login?next={path}&{query}"}, "/login?next=%2Fold%2Fa%2520b&page=2"),
        ({"to": "/items/{id}"}, "/items/7%2F..?page=2"),
        ({"https": True}, "https://shop.test/old/a%20b?page=2"),
        ({"https": True, "keep_query": False}, "https://shop.test/old/a%20b"),
        ({"https": True, "port": 8443}, "https://shop.test:8443/old/a%20b?page=2"),
    ],
)
async def test_the_client_is_sent_to_the_new_url(options: dict[str, Any], location: str) -> None:
    request = make_request("GET", "http://shop.test/old/a%20b?page=2")
    request.path_params = {"id": "7/.."}

    assert await location_of(request, **options) == location


async def test_the_upstream_is_never_called() -> None:
    upstream = FakeUpstream()

    response = await build(Redirect, to="/new")(make_request(), upstream)

    assert (response.status, response.body.data, upstream.requests) == (307, b"", [])


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_status_is_as_configured(status: int) -> None:
    response = await build(Redirect, to="/new", status=status)(make_request(), FakeUpstream())

    assert response.status == status


async def test_a_request_by_https_passes_where_https_is_wanted() -> None:
    upstream = FakeUpstream()

    response = await build(Redirect, https=True)(make_request("GET", "https://shop.test/"), upstream)

    assert (response.status, len(upstream.requests)) == (200, 1)


@pytest.mark.parametrize("path", ["//evil.test", "///evil.test/x", "/\\evil.test", "//evil.test/%2F.."])
@pytest.mark.parametrize("to", ["{path}", "/{path}"])
async def test_a_path_never_becomes_another_host(to: str, path: str) -> None:
    request = make_request()
    request.path = path

    location = await location_of(request, to=to)

    assert location[0] == "/"
    assert location[1] not in "/\\"


async def test_a_request_without_a_host_is_not_sent_to_the_first_segment_of_its_path() -> None:
    request = make_request("GET", "/evil.test")
    request.host = ""

    with pytest.raises(DownstreamError):
        await location_of(request, https=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "got neither"),
        ({"to": "/a", "https": True}, "got both"),
        ({"to": "/a", "port": 80}, "together with https"),
        ({"to": "/a", "status": 304}, "301, 302, 303, 307 or 308"),
        ({"to": "javascript:alert(1)"}, "expected http://"),
        ({"to": "//evil.test"}, "expected http://"),
        ({"to": "https://{header:x}/"}, "expected http://"),
        ({"to": "/{heder:x}"}, "did you mean"),
        ({"https": True, "port": 0}, "greater than or equal to 1"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build(Redirect, **options)


def test_a_parameter_that_the_route_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in place of \{idd\}"):
        build(Redirect, context=Context(match=Match(path="/users/{id}")), to="/v2/{idd}")
