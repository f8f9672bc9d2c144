from __future__ import annotations

import pytest

from meshwright.traffic.chain import compose
from meshwright_sdk import CallNext, Context, Filter, NoOptions, Request, Response, filter
from meshwright_sdk.testing import FakeUpstream, make_request


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
