from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from meshwright_plugins.filters.cache import Cache
from meshwright_sdk import (
    Body,
    ConnectError,
    Context,
    DeadlineError,
    DownstreamError,
    OverloadError,
    Request,
    Response,
    Tasks,
)
from meshwright_sdk.testing import ManualClock, build, make_request
from tests.plugins.filters.cache.rig import answer, chunks


class Service:
    """Keeps every request waiting until it is let go with an answer, in the order of their coming."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[Response]] = []
        self.requests = 0

    async def __call__(self, request: Request) -> Response:
        self.requests += 1
        future: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        return await future

    async def settle(self, outcome: Response | Exception) -> None:
        """Answer the one that waits the longest."""
        future = self.waiting.pop(0)
        if isinstance(outcome, Response):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)
        await turns()


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Crowd:
    """Many requests at the same time for what a cache has not."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.tasks = Tasks()
        self.service = Service()
        self.cache = build(Cache, context=Context(clock=self.clock, tasks=self.tasks, route="all"), **options)

    async def come(self, count: int, **headers: str) -> list[asyncio.Task[str]]:
        """Have so many clients ask, and return their requests."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        asking = [Tasks().spawn(self._ask(fields), name="client") for _ in range(count)]
        await turns()
        return asking

    async def _ask(self, headers: dict[str, str]) -> str:
        response = await self.cache(make_request(headers=headers), self.service)
        try:
            return (await response.body.read(1000)).decode()
        finally:
            await response.aclose()


async def contents(asking: list[asyncio.Task[str]]) -> list[str]:
    return list(await asyncio.gather(*asking))


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_hundred_requests_for_the_same_are_one_at_the_service(streamed: bool) -> None:
    crowd = Crowd()
    asking = await crowd.come(100)

    await crowd.service.settle(answer("one", streamed=streamed))

    assert await contents(asking) == ["one"] * 100
    assert crowd.service.requests == 1
    assert crowd.cache.state()["requests"]["collapsed"] == 99
    assert crowd.cache.state()["fetches"] == 0


async def test_what_is_not_stored_is_fetched_by_each_at_once_and_waits_for_nothing_afterwards() -> None:
    crowd = Crowd()
    asking = await crowd.come(3)
    await crowd.service.settle(answer("1", "private"))
    assert len(crowd.service.waiting) == 2
    asking += await crowd.come(2)
    assert len(crowd.service.waiting) == 4

    for number in "2345":
        await crowd.service.settle(answer(number, "private"))

    assert await contents(asking) == [*"12345"]
    await crowd.clock.advance(11)
    again = await crowd.come(2)
    assert len(crowd.service.waiting) == 1
    await crowd.service.settle(answer("6"))
    assert await contents(again) == ["6", "6"]


async def test_what_can_be_stored_after_all_is_shared_again() -> None:
    crowd = Crowd()
    (first,) = await crowd.come(1)
    await crowd.service.settle(answer("1", "no-store"))
    (second,) = await crowd.come(1)
    await crowd.service.settle(answer("2", "max-age=1"))
    await crowd.clock.advance(2)

    others = await crowd.come(2)

    assert len(crowd.service.waiting) == 1
    await crowd.service.settle(answer("3"))
    assert await contents([first, second, *others]) == [*"1233"]


async def test_when_who_fetches_leaves_before_the_answer_the_next_one_takes_over() -> None:
    crowd = Crowd()
    leader, *others = await crowd.come(4)
    leader.cancel()
    await turns()
    assert crowd.service.requests == 2

    crowd.service.waiting.pop(0)
    await crowd.service.settle(answer("one"))

    assert await contents(others) == ["one"] * 3
    assert crowd.service.requests == 2


async def test_when_who_fetches_leaves_in_the_middle_of_the_answer_the_next_one_takes_over() -> None:
    crowd = Crowd()
    leader, *others = await crowd.come(3)
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield b"begun"
        begun.set()
        await asyncio.Event().wait()

    await crowd.service.settle(Response(200, {"cache-control": "max-age=60"}, Body.stream(endless())))
    await begun.wait()
    assert crowd.service.requests == 1
    leader.cancel()
    await turns()
    assert crowd.service.requests == 2
    await crowd.service.settle(answer("one"))

    assert await contents(others) == ["one"] * 2


async def test_an_answer_that_breaks_off_is_fetched_by_the_next_one() -> None:
    crowd = Crowd()
    leader, other = await crowd.come(2)

    async def breaking() -> AsyncIterator[bytes]:
        yield b"begun"
        raise ConnectError("gone")

    await crowd.service.settle(Response(200, {"cache-control": "max-age=60"}, Body.stream(breaking())))
    with pytest.raises(ConnectError):
        await leader
    await crowd.service.settle(answer("one"))

    assert await other == "one"


async def test_one_that_leaves_while_it_waits_takes_nothing_from_the_others() -> None:
    crowd = Crowd()
    leader, leaving, staying = await crowd.come(3)
    leaving.cancel()
    await turns()
    await crowd.service.settle(answer("one"))

    assert await contents([leader, staying]) == ["one", "one"]
    assert leaving.cancelled()


async def test_one_that_is_to_take_over_and_leaves_hands_it_on() -> None:
    crowd = Crowd()
    leader, leaving, staying = await crowd.come(3)
    leader.cancel()
    await asyncio.sleep(0)  # the next one has been told, and has not run yet
    leaving.cancel()
    await turns()
    crowd.service.waiting.pop(0)
    await crowd.service.settle(answer("one"))

    assert await staying == "one"
    assert crowd.cache.state()["fetches"] == 0


async def test_nothing_is_left_when_all_have_gone() -> None:
    crowd = Crowd()
    for client in await crowd.come(3):
        client.cancel()
    await turns()

    assert crowd.cache.state()["fetches"] == 0


async def test_a_slow_client_keeps_nobody_waiting() -> None:
    crowd = Crowd()
    fetching = Tasks().spawn(crowd.cache(make_request(), crowd.service), name="client")
    await turns()
    asking = await crowd.come(2)
    await crowd.service.settle(answer("one", streamed=True))
    slow = await fetching

    assert await contents(asking) == ["one", "one"]
    assert await slow.body.read(100) == b"one"


async def test_a_request_waits_for_another_only_so_long() -> None:
    crowd = Crowd(max_wait="2s")
    asking = await crowd.come(2)
    await crowd.clock.advance(1.9)
    assert crowd.service.requests == 1
    await crowd.clock.advance(0.2)
    assert crowd.service.requests == 2

    await crowd.service.settle(answer("1"))
    await crowd.service.settle(answer("2"))

    assert await contents(asking) == ["1", "2"]


async def test_a_request_does_not_wait_beyond_its_own_deadline() -> None:
    crowd = Crowd(max_wait="5s")
    asking = await crowd.come(1)
    hurried = make_request()
    hurried.deadline = crowd.clock.monotonic() + 1
    waiting = Tasks().spawn(crowd.cache(hurried, crowd.service), name="client")
    await crowd.clock.advance(1.1)
    assert crowd.service.requests == 2
    await crowd.service.settle(answer("1"))
    await crowd.service.settle(answer("2"))

    assert (await contents(asking), (await waiting).body.data) == (["1"], b"2")


async def test_only_so_many_wait() -> None:
    crowd = Crowd(max_waiting=3)
    asking = await crowd.come(6)
    assert crowd.service.requests == 3

    for number in "123":
        await crowd.service.settle(answer(number))

    assert sorted(await contents(asking)) == [*"111123"]


async def test_a_failure_of_the_service_is_everybodys() -> None:
    crowd = Crowd()
    asking = await crowd.come(5)
    await crowd.service.settle(ConnectError("refused", headers={"retry-after": "1"}))

    failures = await asyncio.gather(*asking, return_exceptions=True)

    assert [str(each) for each in failures] == ["refused"] * 5
    assert crowd.service.requests == 1
    assert len({id(each) for each in failures}) == 5
    assert len({id(each.headers) for each in failures if isinstance(each, ConnectError)}) == 5


@pytest.mark.parametrize(
    "error", [DeadlineError("too late"), OverloadError("not you"), DownstreamError("not you", status=403)]
)
async def test_what_only_one_client_is_to_blame_for_is_nobody_elses(error: Exception) -> None:
    crowd = Crowd()
    leader, *others = await crowd.come(3)
    await crowd.service.settle(error)
    with pytest.raises(type(error)):
        await leader
    assert crowd.service.requests == 2
    await crowd.service.settle(answer("one"))

    assert await contents(others) == ["one", "one"]


async def test_a_status_of_failure_lets_everybody_try() -> None:
    crowd = Crowd()
    asking = await crowd.come(3)
    await crowd.service.settle(answer("bad", status=503))
    await crowd.service.settle(answer("a"))
    await crowd.service.settle(answer("b"))

    assert await contents(asking) == ["bad", "a", "b"]
    more = await crowd.come(2)
    assert await contents(more) == ["b", "b"]


async def test_variants_that_are_not_known_yet_are_fetched_one_by_one_and_then_apart() -> None:
    crowd = Crowd()
    german, english = await crowd.come(1, accept_language="de"), await crowd.come(1, accept_language="en")
    await crowd.service.settle(answer("de", "max-age=1", vary="accept-language"))
    assert crowd.service.requests == 2
    await crowd.service.settle(answer("en", "max-age=1", vary="accept-language"))
    assert await contents(german + english) == ["de", "en"]
    await crowd.clock.advance(2)

    await crowd.come(2, accept_language="de")
    await crowd.come(2, accept_language="en")

    assert crowd.service.requests == 4


async def test_what_is_to_be_validated_each_time_waits_for_nothing() -> None:
    crowd = Crowd()
    first = await crowd.come(1)
    await crowd.service.settle(answer("1", "no-cache", etag='"1"'))
    others = await crowd.come(3)
    assert len(crowd.service.waiting) == 3

    for _ in range(3):
        await crowd.service.settle(answer("", "no-cache", status=304, etag='"1"'))

    assert await contents(first + others) == ["1"] * 4


async def test_a_stale_answer_is_validated_once_for_all() -> None:
    crowd = Crowd()
    first = await crowd.come(1)
    await crowd.service.settle(answer("1", etag='"1"'))
    await crowd.clock.advance(61)
    others = await crowd.come(50)
    await crowd.service.settle(answer("", status=304, etag='"1"'))

    assert await contents(first + others) == ["1"] * 51
    assert crowd.service.requests == 2


async def test_a_failure_is_stood_in_for_by_what_everybody_has() -> None:
    crowd = Crowd(stale_if_error="1h")
    first = await crowd.come(1)
    await crowd.service.settle(answer("1"))
    await crowd.clock.advance(61)
    others = await crowd.come(10)
    await crowd.service.settle(ConnectError("refused"))

    assert await contents(first + others) == ["1"] * 11
    assert crowd.service.requests == 2


async def test_who_wants_no_stored_answer_waits_for_nobody() -> None:
    crowd = Crowd()
    waiting = await crowd.come(1)
    insisting = await crowd.come(1, cache_control="no-cache")
    assert crowd.service.requests == 2
    await crowd.service.settle(answer("1"))
    await crowd.service.settle(answer("2"))

    assert await contents(waiting + insisting) == ["1", "2"]


async def test_it_is_left_out_when_not_wanted() -> None:
    crowd = Crowd(collapse=False)
    await crowd.come(5)

    assert crowd.service.requests == 5


async def test_one_refresh_is_on_its_way_at_a_time() -> None:
    crowd = Crowd(stale_while_revalidate="1h")
    first = await crowd.come(1)
    await crowd.service.settle(answer("1"))
    await crowd.clock.advance(61)
    others = await crowd.come(20)

    assert await contents(first + others) == ["1"] * 21
    assert crowd.service.requests == 2
    await crowd.service.settle(answer("2", streamed=True))
    assert await contents(await crowd.come(1)) == ["2"]


async def test_chunks_keep_their_order_and_their_trailers() -> None:
    class Source:
        trailers: ClassVar = [(b"x-sum", b"1")]

        def __aiter__(self) -> AsyncIterator[bytes]:
            return chunks(b"a", b"b")

    crowd = Crowd()
    fetching = Tasks().spawn(crowd.cache(make_request(), crowd.service), name="client")
    await turns()
    await crowd.service.settle(Response(200, {"cache-control": "max-age=9"}, Body.stream(Source())))
    response = await fetching

    assert [chunk async for chunk in response.body] == [b"a", b"b"]
    assert response.body.trailers["x-sum"] == "1"
