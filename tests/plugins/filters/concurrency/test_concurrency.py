from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.filters.concurrency import Concurrency
from meshwright_sdk import Body, ConnectError, Context, OverloadError, Request, Response, Tasks, UpstreamTimeoutError
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, make_request
from meshwright_sdk.testing.checks import check_filter


class Held:
    """A service that answers when it is told to, and knows in which order requests came."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.answers: dict[str, asyncio.Future[Response]] = {}

    async def __call__(self, request: Request) -> Response:
        self.paths.append(request.path)
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.answers[request.path] = answer
        return await answer

    async def answer(self, path: str, outcome: Response | Exception | None = None) -> None:
        if isinstance(outcome, Exception):
            self.answers[path].set_exception(outcome)
        else:
            self.answers[path].set_result(outcome or Response(200))
        await turns()


async def turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def limited(clock: ManualClock | None = None, **options: Any) -> Concurrency:
    return build(Concurrency, clock=clock or ManualClock(), **options)


def in_flight(limit: Concurrency) -> tuple[int, int]:
    """Return how many hold a permit, and how many wait."""
    state = limit.state()
    return state["in_flight"], state["waiting"]


class Clients:
    """Sends requests through a limit, each in a task of its own."""

    def __init__(self, limit: Concurrency, held: Held) -> None:
        self.limit = limit
        self.held = held
        self.tasks = Tasks()
        self.sent: dict[str, asyncio.Task[Response]] = {}

    async def send(self, path: str, priority: int = 5) -> asyncio.Task[Response]:
        request = make_request(url=path)
        request.priority = priority

        async def call() -> Response:
            return await self.limit(request, self.held)

        task = self.sent[path] = self.tasks.spawn(call(), name=path)
        await turns()
        return task


@pytest.mark.parametrize("options", [{"limit": 2}, {"adaptive": {}}])
async def test_it_holds_to_the_contract_of_filters(options: dict[str, Any]) -> None:
    limit = build(Concurrency, **options)

    await check_filter(limit)

    assert in_flight(limit) == (0, 0)


async def test_a_permit_is_held_until_the_body_has_ended() -> None:
    limit, upstream = limited(limit=1, max_waiting=0), FakeUpstream()
    first = await limit(make_request(), upstream)

    with pytest.raises(OverloadError) as raised:
        await limit(make_request(), upstream)
    assert (raised.value.status, raised.value.code, raised.value.retryable) == (503, "concurrency_limited", False)
    assert raised.value.headers["retry-after"] == "1"
    assert len(upstream.requests) == 1

    await first.aclose()
    assert (await limit(make_request(), upstream)).status == 200


async def test_who_waits_is_let_in_by_priority_and_then_in_order() -> None:
    held = Held()
    clients = Clients(limited(limit=1), held)
    for path, priority in (("/first", 5), ("/a", 5), ("/b", 9), ("/c", 5), ("/d", 0)):
        await clients.send(path, priority)

    for path in ("/first", "/b", "/a", "/c", "/d"):
        assert held.paths[-1] == path
        await held.answer(path)
        clients.sent[path].result().settle()
        await turns()

    assert in_flight(clients.limit) == (0, 0)


async def test_a_higher_priority_takes_the_place_of_the_last_of_a_lower_one() -> None:
    clients = Clients(limited(limit=1, max_waiting=2), Held())
    await clients.send("/first")
    earlier, later = await clients.send("/a", 2), await clients.send("/b", 2)

    await clients.send("/c", 7)

    with pytest.raises(OverloadError):
        await later
    assert not earlier.done()
    assert in_flight(clients.limit) == (1, 2)
    await clients.tasks.close()
    assert in_flight(clients.limit) == (0, 0)


async def test_a_wait_ends_after_its_time() -> None:
    clock = ManualClock()
    clients = Clients(limited(clock, limit=1, max_wait="100ms"), Held())
    await clients.send("/first")
    early = await clients.send("/a")
    await clock.advance(0.06)
    late = await clients.send("/b", 9)

    await clock.advance(0.05)
    assert (early.done(), late.done()) == (True, False)
    await clock.advance(0.06)

    for each in (early, late):
        with pytest.raises(OverloadError):
            await each
    assert in_flight(clients.limit) == (1, 0)
    await clients.tasks.close()


async def test_a_client_that_leaves_while_it_waits_gives_its_place_back() -> None:
    clients = Clients(limited(limit=1, max_waiting=1), Held())
    await clients.send("/first")
    waiting = await clients.send("/a")

    waiting.cancel()
    await turns()

    assert in_flight(clients.limit) == (1, 0)
    assert not (await clients.send("/b")).done()
    await clients.tasks.close()


async def test_a_client_that_leaves_just_when_it_is_let_in_gives_its_permit_back() -> None:
    held = Held()
    clients = Clients(limited(limit=1), held)
    first = await clients.send("/first")
    waiting = await clients.send("/a")
    await held.answer("/first")

    first.result().settle()  # lets it in, and in the same turn of the loop
    waiting.cancel()
    await turns()

    assert waiting.cancelled()
    assert held.paths == ["/first"]
    assert in_flight(clients.limit) == (0, 0)


async def test_a_client_that_has_just_left_is_passed_over() -> None:
    held = Held()
    clients = Clients(limited(limit=1), held)
    first, leaving = await clients.send("/first"), await clients.send("/a")
    await clients.send("/b")
    await held.answer("/first")

    leaving.cancel()
    first.result().settle()
    await turns()

    assert held.paths == ["/first", "/b"]
    await clients.tasks.close()
    assert in_flight(clients.limit) == (0, 0)


@pytest.mark.parametrize("options", [{"limit": 1}, {"adaptive": {}}])
async def test_a_failure_gives_the_permit_back(options: dict[str, Any]) -> None:
    limit = limited(**options)

    with pytest.raises(ConnectError):
        await limit(make_request(), FakeUpstream(ConnectError("nobody")))

    assert in_flight(limit) == (0, 0)


async def test_a_body_that_breaks_off_gives_the_permit_back() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"
        raise ConnectionResetError

    limit = limited(limit=1)
    response = await limit(make_request(), FakeUpstream(Response(200, body=Body.stream(chunks()))))
    with pytest.raises(ConnectionResetError):
        _ = [chunk async for chunk in response.body]

    await response.aclose()

    assert in_flight(limit) == (0, 0)


async def fill(limit: Concurrency, clock: ManualClock, latency_s: float, error: Exception | None = None) -> None:
    """Have as many requests at once as the limit allows, each of which takes so long."""

    async def upstream(request: Request) -> Response:
        await clock.sleep(latency_s)
        if error is not None:
            raise error
        return Response(200)

    async def call() -> None:
        with suppress(UpstreamTimeoutError):
            (await limit(make_request(), upstream)).settle()

    tasks = Tasks()
    for number in range(limit.state()["limit"]):
        tasks.spawn(call(), name=str(number))
    await clock.advance(latency_s + 0.001)
    assert len(tasks) == 0


@pytest.mark.parametrize("error", [None, UpstreamTimeoutError("too slow")])
async def test_the_adaptive_limit_falls_when_the_service_turns_slow(error: Exception | None) -> None:
    clock = ManualClock()
    limit = limited(clock, adaptive={}, max_waiting=0)
    for _ in range(60):
        await fill(limit, clock, 0.01)
    before = limit.state()
    assert before["limit"] > 20
    assert before["usual_latency_s"] == pytest.approx(0.01)

    for _ in range(10):
        await fill(limit, clock, 2, error)

    assert limit.state()["limit"] <= before["limit"] / 4
    assert in_flight(limit) == (0, 0)


async def test_its_metrics_tell_where_it_is_and_why_it_refused() -> None:
    context = Context(route="orders", clock=ManualClock())
    limit = build(Concurrency, context=context, limit=1, max_waiting=0)
    await limit(make_request(), FakeUpstream())
    with pytest.raises(OverloadError, match="route orders"):
        await limit(make_request(), FakeUpstream())

    found = {
        (name, labels): (metric.read() if metric.read else metric.value)  # type: ignore[union-attr]
        for name, family in context.metrics.families.items()
        for labels, metric in family.metrics.items()
    }
    labels = (("route", "orders"), ("service", ""))
    assert found["meshwright_concurrency_limit", labels] == 1
    assert found["meshwright_concurrency_in_flight", labels] == 1
    assert found["meshwright_concurrency_refused_total", (("reason", "full"), *labels)] == 1


@pytest.mark.parametrize(("options", "got"), [({}, "neither"), ({"limit": 1, "adaptive": {}}, "both")])
def test_a_limit_is_fixed_or_adaptive(options: dict[str, Any], got: str) -> None:
    with pytest.raises(ValidationError, match=f"expected one of limit and adaptive; got {got}"):
        build(Concurrency, **options)


def test_bounds_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValidationError, match="in ascending order; got 3, 20 and 10"):
        build(Concurrency, adaptive={"max_limit": 10})


class Anything:
    """Requests that come, are answered, fail and are cancelled in any turn of the loop, counted by ourselves."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self.at_once = at_once
        self.clock = ManualClock()
        self.limit = limited(self.clock, limit=at_once, max_waiting=waiting)
        self.tasks = Tasks()
        self.sent: list[asyncio.Task[Response | None]] = []
        self.inside: list[asyncio.Future[Response]] = []
        self.open: list[Response] = []

    async def upstream(self, request: Request) -> Response:
        answer: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.inside.append(answer)
        assert len(self.inside) + len(self.open) <= self.at_once
        try:
            response = await answer
        finally:
            self.inside.remove(answer)
        self.open.append(response)
        return response

    async def call(self, request: Request) -> Response | None:
        with suppress(OverloadError, ConnectError):
            return await self.limit(request, self.upstream)
        return None

    def send(self, priority: int) -> None:
        request = make_request()
        request.priority = priority
        self.sent.append(self.tasks.spawn(self.call(request), name="a request"))

    def answer(self, number: int) -> None:
        if self.inside and not (chosen := self.inside[number % len(self.inside)]).done():
            chosen.set_result(Response(200))

    def fail(self, number: int) -> None:
        if self.inside and not (chosen := self.inside[number % len(self.inside)]).done():
            chosen.set_exception(ConnectError("nobody"))

    def cancel(self, number: int) -> None:
        if self.sent:
            self.sent[number % len(self.sent)].cancel()

    def end_body(self, number: int) -> None:
        if self.open:
            self.open.pop(number % len(self.open)).settle()

    async def run(self, steps: list[tuple[str, int]]) -> None:
        for step, number in steps:
            if step == "pass":
                await self.clock.advance(number / 1000)
            else:
                getattr(self, step)(number)
            if number % 3 == 0:
                await turns()
        await self.tasks.close()
        for _ in range(len(self.open)):
            self.end_body(0)
        assert in_flight(self.limit) == (0, 0)
        assert [task for task in self.sent if not task.cancelled() and task.exception()] == []
        await self.limit.context.tasks.close()


@settings(deadline=None)
@given(
    st.integers(1, 3),
    st.integers(0, 4),
    st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 9)),
            st.tuples(st.sampled_from(["answer", "fail", "cancel", "end_body"]), st.integers(0, 50)),
            st.tuples(st.just("pass"), st.integers(1, 200)),
        ),
        max_size=60,
    ),
)
def test_no_permit_is_lost_or_doubled(at_once: int, waiting: int, steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        await Anything(at_once, waiting).run(steps)

    asyncio.run(run())
