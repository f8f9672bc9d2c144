from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from meshwright_plugins.filters.overload import Overload
from meshwright_plugins.filters.overload.holding import AT_ONCE_PER_S
from meshwright_sdk import Context, Pulse, Request, Response, Tasks
from meshwright_sdk.pulse import Feel
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, make_request
from meshwright_sdk.testing.checks import check_filter


class ByHand(Pulse):
    """Beats for the guard when the test says so."""

    beat: Feel

    def feel(self, feel: Feel) -> None:
        self.beat = feel

    async def leave(self, feel: Feel) -> None:
        assert feel == self.beat


def of_priority(priority: int) -> Request:
    request = make_request()
    request.priority = priority
    return request


def drowned(guard: Overload, *, priority: int = 5) -> None:
    """Have the guard see a loop that is far too late for a long time, under requests of one priority."""
    for _ in range(200):
        for _ in range(1_000):
            guard._admission.admits(priority)
        guard._admission.turn(1.0, 0.1)


async def refused(guard: Overload, request: Request, upstream: FakeUpstream, *, attempts: int = 100) -> Response:
    """Return a refusal; two percent pass."""
    for _ in range(attempts):
        response = await guard(request, upstream)
        if response.status == 503:
            return response
    raise AssertionError("nothing was refused")


async def test_it_holds_to_the_contract_of_filters() -> None:
    await check_filter(build(Overload, max_in_flight=100))


async def test_without_overload_requests_pass() -> None:
    upstream = FakeUpstream()

    assert (await build(Overload)(make_request(), upstream)).status == 200


async def test_a_refusal_says_when_to_come_again_and_calls_nothing() -> None:
    guard, upstream = build(Overload, hold="0s", retry_after="2500ms"), FakeUpstream()
    drowned(guard)

    response = await refused(guard, make_request(), upstream)

    assert response.headers["retry-after"] == "3"
    assert response.headers["content-type"] == "application/problem+json"
    content = json.loads(response.body.data or b"")
    assert (content["status"], content["code"]) == (503, "overloaded")
    assert len(upstream.requests) < 10


async def test_each_refusal_has_headers_of_its_own() -> None:
    guard, upstream = build(Overload, hold="0s"), FakeUpstream()
    drowned(guard)

    (await refused(guard, make_request(), upstream)).headers["x-request-id"] = "1"

    assert "x-request-id" not in (await refused(guard, make_request(), upstream)).headers


async def test_under_overload_a_higher_priority_passes() -> None:
    guard, upstream = build(Overload, hold="0s"), FakeUpstream()
    drowned(guard)

    assert {(await guard(of_priority(9), upstream)).status for _ in range(100)} == {200}


async def test_a_refusal_is_held_back_and_a_client_that_leaves_ends_that() -> None:
    clock, tasks = ManualClock(), Tasks()
    guard = build(Overload, clock=clock, hold="1s", max_held=2)
    drowned(guard)
    for _ in range(AT_ONCE_PER_S):
        await refused(guard, make_request(), FakeUpstream())

    async def refuse() -> Response:
        return await refused(guard, make_request(), FakeUpstream())

    first, second = tasks.spawn(refuse(), name="first"), tasks.spawn(refuse(), name="second")
    await clock.advance(0.4)
    assert guard.state()["held"] == 2
    assert (await refuse()).status == 503  # no more are held

    second.cancel()
    await clock.advance(0)
    assert guard.state()["held"] == 1
    await clock.advance(1.2)
    assert first.done()
    assert guard.state()["held"] == 0


async def test_the_last_places_in_flight_are_for_high_priorities() -> None:
    guard, upstream = build(Overload, hold="0s", max_in_flight=100), FakeUpstream()
    taken = [await guard(of_priority(0), upstream) for _ in range(100)]
    assert [response.status for response in taken].count(200) == 55

    taken += [await guard(of_priority(5), upstream) for _ in range(100)]
    assert [response.status for response in taken].count(200) == 80

    taken += [await guard(of_priority(9), upstream) for _ in range(100)]
    assert [response.status for response in taken].count(200) == 100

    for response in taken:
        response.settle()
    assert guard.state()["in_flight"] == 0
    assert (await guard(of_priority(0), upstream)).status == 200


async def test_a_request_is_in_flight_until_its_body_has_ended() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"a"

    guard = build(Overload, hold="0s", max_in_flight=1)
    response = await guard(make_request(), FakeUpstream(Response(200, body=chunks())))

    assert guard.state()["in_flight"] == 1
    await response.aclose()
    assert guard.state()["in_flight"] == 0


async def test_a_failure_is_in_flight_no_more() -> None:
    guard = build(Overload, max_in_flight=1)

    with pytest.raises(ConnectionError):
        await guard(make_request(), FakeUpstream(ConnectionError()))

    assert guard.state()["in_flight"] == 0


async def test_memory_at_its_limit_refuses_nearly_everything_below_the_highest() -> None:
    clock = ManualClock()
    context = Context(clock=clock, pulse=Pulse(clock))
    guard, upstream = build(Overload, context=context, hold="0s", memory_limit="1MiB"), FakeUpstream()
    await guard.start()
    statuses: list[int] = []
    for _ in range(10):
        statuses = [(await guard(of_priority(5), upstream)).status for _ in range(200)]
        await clock.advance(0.13)

    assert statuses.count(503) > 180
    await guard.close()


async def test_it_feels_the_loop_from_start_to_close() -> None:
    clock = ManualClock()
    guard = build(Overload, context=Context(clock=clock, pulse=Pulse(clock)))
    await guard.start()
    await clock.advance(0.5)
    assert guard.state()["rate_per_s"] is None

    await guard.close()

    assert len(asyncio.all_tasks()) == 1


async def test_long_turns_with_short_ones_in_between_are_late_and_one_pause_is_not() -> None:
    clock, pulse = ManualClock(), ByHand()
    guard = build(Overload, context=Context(clock=clock, pulse=pulse))
    await guard.start()
    now = clock.monotonic()

    for short, long_s, lag_s in ((1, 0.3, 0.3), (2, 0.3, 0.3), (4, 0.05, 0.001)):
        for _ in range(short):
            pulse.beat(0.001, now)
        now += 1
        pulse.beat(long_s, now)
        assert guard.state()["lag_s"] == lag_s


async def test_refusals_are_counted_by_priority() -> None:
    context = Context()
    guard = build(Overload, context=context, hold="0s")
    drowned(guard)
    await refused(guard, make_request(), FakeUpstream())

    counter = context.metrics.counter("meshwright_overload_refused_total", "", priority="5", route="", service="")
    assert counter.value == 1


@pytest.mark.parametrize("options", [{"max_lag": "0s"}, {"max_in_flight": 0}, {"max_memory": 0.8}])
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((ValidationError, ValueError)):
        build(Overload, **options)


async def test_the_log_says_once_when_refusing_begins_and_when_it_has_ended(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "meshwright.overload")
    clock, pulse = ManualClock(), ByHand()
    guard = build(Overload, context=Context(place="test", clock=clock, pulse=pulse))
    await guard.start()
    drowned(guard)
    now = clock.monotonic()

    for turn in range(1, 40):
        pulse.beat(1.0, now + turn)
    for turn in range(40, 200):
        pulse.beat(0.0001, now + turn)

    begins, ends = (record.getMessage() for record in caplog.records)
    assert begins.startswith("test: begins to refuse: a turn of the loop takes")
    assert ends == "test: refuses nothing any more"
