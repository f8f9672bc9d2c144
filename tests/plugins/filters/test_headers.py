from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.filters.headers import EditHeaders
from meshwright_sdk import Context, Headers, Identity, Match, NoRouteError, Response, problem
from meshwright_sdk.testing import FakeUpstream, build, make_request


async def sent_with(headers: list[tuple[str, str]], **edits: Any) -> list[tuple[str, str]]:
    """Return what the upstream gets, without the host."""
    upstream = FakeUpstream()
    await build(EditHeaders, request=edits)(make_request(headers=headers), upstream)
    return [field for field in upstream.requests[0].headers.multi_items() if field[0] != "host"]


async def received_with(headers: list[tuple[str, str]], **edits: Any) -> list[tuple[str, str]]:
    upstream = FakeUpstream(Response(200, Headers(headers)))
    response = await build(EditHeaders, response=edits)(make_request(), upstream)
    return response.headers.multi_items()


EDITS: list[tuple[dict[str, Any], list[tuple[str, str]]]] = [
    ({}, [("x-a", "1"), ("x-b", "2"), ("x-a", "3")]),
    ({"set": {"X-A": "new"}}, [("x-b", "2"), ("x-a", "new")]),
    ({"set": {"x-new": "n"}}, [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-new", "n")]),
    ({"add": {"x-b": "n"}}, [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-b", "n")]),
    ({"add": {"x-c": ["1", "2"]}}, [("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-c", "1"), ("x-c", "2")]),
    ({"remove": ["X-A", "none"]}, [("x-b", "2")]),
    ({"remove": ["x-*"]}, []),
    ({"remove": ["x-a*"]}, [("x-b", "2")]),
    ({"remove": ["x-*"], "set": {"x-a": "s"}, "add": {"x-a": "a"}}, [("x-a", "s"), ("x-a", "a")]),
    ({"set": {"x-e": ""}, "remove": ["x-*"]}, [("x-e", "")]),
]


@pytest.mark.parametrize(("edits", "after"), EDITS)
async def test_fields_are_removed_then_set_then_added(edits: dict[str, Any], after: list[tuple[str, str]]) -> None:
    before = [("x-a", "1"), ("x-b", "2"), ("x-a", "3")]

    assert await sent_with(before, **edits) == after
    assert await received_with(before, **edits) == after


async def test_values_show_the_request() -> None:
    request = make_request("GET", "http://shop.test/users/7", headers={"x-user": "forged"}, client="203.0.113.9")
    request.path_params = {"id": "7"}
    request.identity = Identity(subject="ann", method="jwt", claims={"sub": "ann"})
    upstream = FakeUpstream()
    edits = {"set": {"x-user": "{claim:sub}", "x-at": "{client} {param:id}"}, "add": {"x-at": ["then", "{host}"]}}

    await build(EditHeaders, request=edits)(request, upstream)

    assert request.headers.getlist("x-user") == ["ann"]
    assert request.headers.getlist("x-at") == ["203.0.113.9 7", "then", "shop.test"]


async def test_a_value_that_comes_out_empty_removes_what_the_client_sent() -> None:
    assert await sent_with([("x-user", "forged")], set={"x-user": "{claim:sub}"}) == []


async def test_braces_and_percent_signs_of_constants_stay() -> None:
    value = '{"group":"csp","max_age":10} 100%'

    assert await sent_with([], set={"x-a": value}) == [("x-a", value)]
    assert await sent_with([], set={"x-a": "{{client}}"}) == [("x-a", "{client}")]


@given(st.text())
async def test_no_value_of_the_client_can_end_the_header(value: str) -> None:
    request = make_request()
    request.path_params = {"x": value}

    await build(EditHeaders, request={"set": {"x-a": "<{param:x}>"}})(request, FakeUpstream())

    field = request.headers.get_bytes(b"x-a")
    assert field is not None
    assert field.startswith(b"<")
    assert field.endswith(b">")
    assert all(0x20 <= byte < 0x7F for byte in field)


@pytest.mark.parametrize("error", [NoRouteError(), ZeroDivisionError()])
async def test_error_answers_get_the_headers_of_responses(error: Exception) -> None:
    edits = {"set": {"x-frame-options": "DENY", "content-type": "text/html"}, "add": {"x-host": "{host}"}}

    with pytest.raises(type(error)) as raised:
        await build(EditHeaders, response=edits)(make_request(), FakeUpstream(error))

    headers = problem(raised.value).headers
    assert (headers["x-frame-options"], headers["x-host"]) == ("DENY", "gateway.test")
    assert headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("side", ["request", "response"])
@pytest.mark.parametrize(
    "edits",
    [
        {"set": {"Content-Length": "1"}},
        {"add": {"transfer-encoding": "chunked"}},
        {"remove": ["connection"]},
        {"set": {"host": "x"}},
        {"remove": ["Host"]},
        {"set": {"x y": "1"}},
        {"remove": ["*"]},
        {"remove": ["Content-*"]},
        {"remove": ["h*"]},
        {"remove": ["x y*"]},
        {"set": {"x": "a\r\nb"}},
        {"set": {"x": "€"}},
        {"set": {"x": 1}},
        {"add": {"x": ["a\n"]}},
        {"set": {"x": "{clinet}"}},
        {"set": {"X-A": "1", "x-a": "2"}},
        {"replace": {"x": "1"}},
    ],
)
def test_what_no_message_can_carry_is_refused(side: str, edits: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EditHeaders.Options.model_validate({side: edits})


def test_a_parameter_that_the_route_does_not_have_is_refused() -> None:
    context = Context(match=Match(path="/users/{id}"))

    build(EditHeaders, context=context, request={"set": {"x": "{param:id}"}})
    with pytest.raises(ValueError, match=r"in place of \{user\}"):
        build(EditHeaders, context=context, response={"add": {"x": ["{param:user}"]}})
