"""Composing filters: the order of the onion, and whose mistake a missing response is."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from meshwright.traffic.chain import compose
from meshwright_sdk import CallNext, Context, Filter, NoOptions, PluginError, Request, Response, filter
from meshwright_sdk.testing import FakeUpstream, build, make_request


class Marking(Filter[NoOptions]):
    """Writes its mark on the way in and on the way back."""

    def __init__(self, mark: str, log: list[str]) -> None:
        super().__init__(NoOptions(), Context())
        self._mark = mark
        self._log = log

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        self._log.append(f"{self._mark} in")
        response = await call_next(request)
        self._log.append(f"{self._mark} out")
        return response


async def test_the_first_filter_is_the_outermost() -> None:
    log: list[str] = []
    chain = compose([Marking("a", log), Marking("b", log)], FakeUpstream())
    assert (await chain(make_request())).status == 200
    assert log == ["a in", "b in", "b out", "a out"]


async def test_without_filters_the_service_itself_is_called() -> None:
    upstream = FakeUpstream()
    assert compose([], upstream) is upstream


async def test_a_filter_may_answer_ask_again_or_be_a_function() -> None:
    async def plain(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        return await call_next(request)

    @filter
    async def decorated(request: Request, call_next: CallNext) -> Response:
        return await call_next(request) if request.method == "GET" else Response(405)

    upstream = FakeUpstream()
    chain = compose([plain, decorated], upstream)
    assert (await chain(make_request("GET"))).status == 200
    assert (await chain(make_request("PUT"))).status == 405
    assert len(upstream.requests) == 2


async def test_what_the_inner_raises_passes_through_the_outer() -> None:
    log: list[str] = []
    chain = compose([Marking("a", log)], FakeUpstream(KeyError("x")))
    with pytest.raises(KeyError):
        await chain(make_request())
    assert log == ["a in"]


async def outer(request: Request, call_next: CallNext) -> Response:
    response = await call_next(request)
    response.headers["x-outer"] = "1"
    return response


async def forgetful(request: Request, call_next: CallNext) -> Any:
    await call_next(request)


async def forgetful_at_times(request: Request, call_next: CallNext) -> Any:
    if request.method == "GET":
        return await call_next(request)
    return None


class Forgetful(Filter[NoOptions]):
    async def __call__(self, request: Request, call_next: CallNext) -> Any:
        await call_next(request)


def passing_on(function: Callable[[Request, CallNext], Awaitable[Any]]) -> Callable[[Request, CallNext], Any]:
    @functools.wraps(function)
    async def wrapper(request: Request, call_next: CallNext) -> Any:
        return await function(request, call_next)

    return wrapper


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (forgetful, "forgetful"),
        (forgetful_at_times, "forgetful_at_times"),
        (passing_on(forgetful), "forgetful"),
        (build(Forgetful), "Forgetful"),
        (functools.partial(forgetful), "partial"),
    ],
    ids=["a function", "one way of two", "a decorated one", "a class", "one without code"],
)
async def test_the_filter_that_forgets_to_return_is_blamed_and_not_the_one_around_it(wrong: Any, name: str) -> None:
    handle = compose([outer, wrong, outer], FakeUpstream())

    with pytest.raises(PluginError) as caught:
        await handle(make_request(method="POST"))

    assert caught.value.detail.startswith(f"filter {name}: expected it to return a Response; got None")
    assert (f" ({__file__}:" in caught.value.detail) == (name != "partial")


async def test_a_filter_that_can_do_without_a_return_still_answers() -> None:
    response = await compose([outer, forgetful_at_times], FakeUpstream())(make_request())

    assert (response.status, response.headers["x-outer"]) == (200, "1")


async def test_a_filter_that_always_returns_is_called_without_anything_in_between() -> None:
    call_next = FakeUpstream()
    waiting = compose([outer], call_next)(make_request())

    assert getattr(waiting, "cr_code", None) is outer.__code__

    await waiting
