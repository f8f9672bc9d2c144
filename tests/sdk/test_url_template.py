from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshwright_sdk import DownstreamError, Match, Request, UrlTemplate
from meshwright_sdk.testing import make_request


def request_for(url: str = "http://shop.test/a%20b/c?q=1&r=%26", **params: str) -> Request:
    request = make_request("GET", url)
    request.path_params = params
    return request


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("/fixed", "/fixed"),
        ("/new{path}", "/new/a%20b/c"),
        ("{path}", "/a%20b/c"),
        ("/new?{query}", "/new?q=1&r=%26"),
        ("/new?back={path}", "/new?back=%2Fa%2520b%2Fc"),
        ("/new?back={url}", "/new?back=http%3A%2F%2Fshop.test%2Fa%2520b%2Fc%3Fq%3D1%26r%3D%2526"),
        ("/users/{id}/x", "/users/7/x"),
        ("/users/{param:id}", "/users/7"),
        ("/q/{query}", "/q/q=1&r=%2526"),
        ("https://new.test{path}", "https://new.test/a%20b/c"),
        ("https://new.test:8443/{id}", "https://new.test:8443/7"),
        ("{scheme}://{host}:81/x", "http://shop.test:81/x"),
        ("https://www.{host}{path}?{query}", "https://www.shop.test/a%20b/c?q=1&r=%26"),
        ("https://new.test?x=1#top", "https://new.test?x=1#top"),
    ],
)
def test_the_url_is_filled_in(text: str, rendered: str) -> None:
    assert UrlTemplate(text).render(request_for(id="7")) == rendered


@pytest.mark.parametrize(
    "text",
    [
        "",
        "new",
        "//evil.test/x",
        "{id}",
        "?x=1",
        "javascript:alert(1)",
        "ftp://x.test/",
        "https://",
        "https://{header:x}/",
        "https://new.test{id}",
        "https://user@new.test/",
        "/a b",
        "/é",
        "/100%",
        "/a\r\nb",
        "/a\\b",
    ],
)
def test_what_is_neither_url_nor_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        UrlTemplate(text)


@pytest.mark.parametrize("path", ["//evil.test/x", "///evil.test", "/\\evil.test"])
@pytest.mark.parametrize("text", ["{path}", "/{path}"])
def test_a_path_of_the_client_never_becomes_a_host(text: str, path: str) -> None:
    request = request_for()
    request.path = path

    assert UrlTemplate(text).render(request) == "/" + path.lstrip("/\\")


def test_an_ipv6_host_goes_in_with_brackets() -> None:
    request = request_for()
    request.host = "2001:db8::1"

    assert UrlTemplate("https://{host}/x").render(request) == "https://[2001:db8::1]/x"


def test_a_request_without_a_host_has_none_to_put_in() -> None:
    request = request_for()
    request.host = ""

    with pytest.raises(DownstreamError, match="got none"):
        UrlTemplate("https://{host}{path}").render(request)


def test_an_unknown_word_is_a_parameter_of_the_routes_path() -> None:
    template = UrlTemplate("/v2/{idd}/{path}")

    with pytest.raises(ValueError, match=r"in place of \{idd\} \(did you mean \{id\}\?\)"):
        template.check_params(Match(path="/v1/{id}"))


@given(st.text())
def test_a_value_in_the_path_stays_one_segment(value: str) -> None:
    parts = urlsplit(UrlTemplate("https://new.test/a/{x}/b?c=1").render(request_for(x=value)))

    assert (parts.netloc, parts.query, parts.fragment) == ("new.test", "c=1", "")
    before, segment, after = parts.path.removeprefix("/").split("/")
    assert (before, unquote(segment), after) == ("a", value, "b")


@given(st.text())
def test_a_value_in_the_query_stays_one_parameter(value: str) -> None:
    parts = urlsplit(UrlTemplate("/a?x={x}&y=1").render(request_for(x=value)))

    assert parse_qsl(parts.query, keep_blank_values=True) == [("x", value), ("y", "1")]
