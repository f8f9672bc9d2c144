from __future__ import annotations

import pytest

from meshwright_sdk import Address, Body, DownstreamError, Headers, Request, RetryBudget
from meshwright_sdk.testing import ManualClock, make_endpoint, make_request


def test_the_target_and_the_url_show_what_filters_have_rewritten() -> None:
    request = make_request(url="https://Shop.test:8443/orders?page=2")
    before = (request.target, request.url)
    request.path, request.query = "/v2/orders", ""

    assert before == ("/orders?page=2", "https://Shop.test:8443/orders?page=2")
    assert (request.target, request.url) == ("/v2/orders", "https://Shop.test:8443/v2/orders")


def test_without_a_host_header_the_url_has_the_host() -> None:
    request = Request("GET", "/", "", Headers(), Body(), host="shop.test")

    assert request.url == "http://shop.test/"


def test_the_query_is_decoded_and_the_last_of_equal_names_counts() -> None:
    request = make_request(url="/?a=1&b=%C3%A9+x&a=2&empty=")

    assert request.query_params == {"a": "2", "b": "é x", "empty": ""}


def test_the_query_is_parsed_again_when_it_was_changed() -> None:
    request = make_request(url="/?a=1")
    before = request.query_params
    request.query = "b=2"

    assert (before, request.query_params) == ({"a": "1"}, {"b": "2"})
    assert request.query_params is request.query_params


def test_a_query_of_very_many_parameters_is_the_clients_fault() -> None:
    request = make_request(url="/?" + "&".join("a=1" for _ in range(1001)))

    with pytest.raises(DownstreamError, match="query: expected at most 1000 parameters; got more"):
        _ = request.query_params


def test_the_first_of_equal_cookies_counts_in_all_cookie_headers() -> None:
    request = make_request(headers=[("cookie", 'a=1; b="two" ; junk; =x'), ("cookie", "a=3;c=4=5")])

    assert request.cookies == {"a": "1", "b": "two", "": "x", "c": "4=5"}


def test_cookies_are_parsed_again_when_they_were_changed() -> None:
    request = make_request(headers={"cookie": "a=1"})
    before = request.cookies
    request.headers["cookie"] = "b=2"

    assert (before, request.cookies) == ({"a": "1"}, {"b": "2"})
    assert request.cookies is request.cookies


def test_the_state_is_made_on_first_use_and_kept() -> None:
    request, other = make_request(), make_request()
    request.state["tenant"] = "acme"

    assert (request.state, other.state) == ({"tenant": "acme"}, {})


def test_a_request_for_tests_is_as_the_gateway_would_make_it() -> None:
    request = make_request(
        "POST", "https://Shop.Test:8443/a?b=1", headers={"X-A": "1"}, body=b"hello", client="192.0.2.9"
    )

    assert repr(request) == "<Request POST shop.test/a>"
    assert (request.host, request.scheme, request.path, request.query) == ("shop.test", "https", "/a", "b=1")
    assert request.headers.multi_items() == [("host", "Shop.Test:8443"), ("x-a", "1")]
    assert (request.body.data, request.client) == (b"hello", Address("192.0.2.9", 40000))
    assert (request.route, request.identity, request.path_params, request.id) == (None, None, {}, "")


@pytest.mark.parametrize(
    ("host", "name"), [("a.test", "a.test"), ("A.test:80", "a.test"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]")]
)
def test_a_host_header_of_ones_own_decides(host: str, name: str) -> None:
    request = make_request(url="http://other.test/", headers={"host": host})

    assert (request.host, request.headers.getlist("host")) == (name, [host])


def test_a_copy_beside_a_request_shares_its_answers_and_bounds_and_not_its_headers() -> None:
    request = make_request(headers={"x-a": "1"})
    request.deadline = 7.0
    copy = request.copy()
    copy.headers["x-a"] = "2"

    assert request.headers["x-a"] == "1"
    assert copy.answers is request.answers is not None
    assert copy.deadline == 7.0


def test_a_copy_for_an_errand_of_its_own_is_bound_by_nothing_of_the_request() -> None:
    request = make_request(headers={"x-a": "1"})
    endpoint = make_endpoint()
    request.deadline, request.budget = 7.0, RetryBudget(0.2, now=ManualClock().monotonic)
    request.endpoint, request.avoid = endpoint, (endpoint,)
    copy = request.apart()

    assert (copy.deadline, copy.budget, copy.interim, copy.endpoint, copy.avoid) == (None, None, None, None, ())
    assert copy.answers == []
    assert copy.answers is not request.answers
    assert (copy.headers["x-a"], request.deadline, request.avoid) == ("1", 7.0, (endpoint,))
