from __future__ import annotations

import re

import pytest

from meshwright_sdk import FieldMatch, Match, Request
from meshwright_sdk.testing import make_request


@pytest.mark.parametrize(
    ("condition", "accepted", "refused", "text"),
    [
        (FieldMatch(name="a"), ["", "1"], [None], "a present"),
        (FieldMatch(name="a", present=False), [None], ["", "1"], "a absent"),
        (FieldMatch(name="a", exact="1"), ["1"], [None, "", "11", "A"], "a=1"),
        (FieldMatch(name="a", exact=""), [""], [None, "1"], "a="),
        (FieldMatch(name="a", regex=re.compile("[0-9]+")), ["1", "12"], [None, "", "1a", "a1"], "a~[0-9]+"),
    ],
)
def test_a_condition_takes_what_it_says(
    condition: FieldMatch, accepted: list[str | None], refused: list[str | None], text: str
) -> None:
    assert [value for value in accepted if not condition.accepts(value)] == []
    assert [value for value in refused if condition.accepts(value)] == []
    assert str(condition) == text


def one(name: str = "x-a") -> FieldMatch:
    return FieldMatch(name=name, exact="1")


@pytest.mark.parametrize(
    ("match", "request_", "refusals"),
    [
        (Match(), make_request(), []),
        (Match(methods=frozenset({"GET", "HEAD"})), make_request("HEAD"), []),
        (Match(methods=frozenset({"POST", "GET"})), make_request("PUT"), ["method: expected GET|POST; got PUT"]),
        (Match(headers=(one(),)), make_request(headers=[("x-a", "2"), ("X-A", "1")]), []),
        (Match(headers=(one(),)), make_request(headers={"x-a": "2"}), ["header: expected x-a=1; got '2'"]),
        (Match(headers=(one(),)), make_request(), ["header: expected x-a=1; got None"]),
        (Match(headers=(FieldMatch(name="x-a", present=False),)), make_request(), []),
        (Match(query=(one(),)), make_request(url="/?x-a=2&x-a=1"), []),
        (Match(query=(one(),)), make_request(url="/?x-a=1&x-a=2"), ["query: expected x-a=1; got '2'"]),
        (Match(cookies=(one(),)), make_request(headers={"cookie": "x-a=1; x-a=2"}), []),
        (Match(cookies=(one(),)), make_request(headers={"cookie": "b=1"}), ["cookie: expected x-a=1; got None"]),
        (
            Match(methods=frozenset({"POST"}), headers=(one(), one("x-b")), query=(one(),)),
            make_request(headers={"x-b": "1"}),
            ["method: expected POST; got GET", "header: expected x-a=1; got None", "query: expected x-a=1; got None"],
        ),
    ],
)
def test_every_condition_that_fails_says_what_was_expected(
    match: Match, request_: Request, refusals: list[str]
) -> None:
    assert list(match.refusals(request_)) == refusals
    assert match.accepts_fields(request_) is (not refusals)


def test_host_and_path_are_the_routers_own() -> None:
    assert Match(hosts=("other.test",), path="/other").accepts_fields(make_request(url="http://shop.test/"))


@pytest.mark.parametrize(
    ("match", "params"),
    [
        (Match(), set()),
        (Match(path="/orders/*"), set()),
        (Match(path="/users/{id}/posts/{post_id}"), {"id", "post_id"}),
        (Match(path_regex=re.compile(r"/v(?P<version>\d+)/(.*)")), {"version"}),
    ],
)
def test_the_names_of_parameters_are_known_before_a_request_comes(match: Match, params: set[str]) -> None:
    assert match.params == params
