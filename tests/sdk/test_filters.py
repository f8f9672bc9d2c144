from __future__ import annotations

from typing import Any

import pytest

from meshwright_sdk import CallNext, Request, Response, filter
from meshwright_sdk.filters import MARK
from meshwright_sdk.testing import FakeUpstream, make_request


@filter
async def stamp(request: Request, call_next: CallNext) -> Response:
    request.headers["x-tenant"] = "acme"
    response = await call_next(request)
    response.headers["x-stamp"] = "1"
    return response


@filter(name="mark-it")
async def mark(request: Request, call_next: CallNext) -> Response:
    return await call_next(request)


async def test_a_decorated_function_is_called_as_it_stands() -> None:
    upstream = FakeUpstream()
    response = await stamp(make_request(), upstream)

    assert (response.body.data, response.headers["x-stamp"]) == (b"ok", "1")
    assert [request.headers["x-tenant"] for request in upstream.requests] == ["acme"]


def test_a_filter_is_named_for_its_function_unless_it_says_otherwise() -> None:
    assert (getattr(stamp, MARK), getattr(mark, MARK)) == ("stamp", "mark-it")


def plain(request: Request, call_next: CallNext) -> None:
    pass


async def short(request: Request) -> None:
    pass


async def long(request: Request, call_next: CallNext, more: int) -> None:
    pass


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (plain, "@filter: expected an `async def` function; got <function plain"),
        (7, "@filter: expected an `async def` function; got 7"),
        (short, r"@filter: expected short\(request, call_next\); got short\(request: 'Request'\)"),
        (long, r"@filter: expected long\(request, call_next\); got long\(.*more: 'int'\)"),
    ],
)
def test_what_cannot_be_a_filter_is_refused_where_it_is_decorated(function: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        filter(function)


def test_keyword_only_parameters_are_the_functions_own() -> None:
    async def with_extra(request: Request, call_next: CallNext, *, header: str = "x") -> Response:
        return await call_next(request)

    assert filter(with_extra) is with_extra


async def test_a_fake_upstream_gives_its_answers_in_turn_and_repeats_the_last() -> None:
    upstream = FakeUpstream(OSError("down"), Response.text("one"), lambda request: Response.text(request.path))

    with pytest.raises(OSError, match="down"):
        await upstream(make_request())
    answers = [(await upstream(make_request(url=f"/{number}"))).body.data for number in range(3)]

    assert answers == [b"one", b"/1", b"/2"]
    assert len(upstream.requests) == 4
