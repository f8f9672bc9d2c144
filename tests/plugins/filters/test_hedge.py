from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.filters.hedge import Hedge
from meshwright_plugins.filters.hedge.race import LOST
from meshwright_sdk import (
    ConnectError,
    Context,
    Identity,
    Metrics,
    Request,
    ResetError,
    Response,
    RetryBudget,
    Tasks,
    TooManyRequestsError,
)
from meshwright_sdk.testing import ManualClock, build, check_filter, gateway, make_endpoint, make_request
from tests.core.http1.wire import Wire, scripted_upstream

Step = tuple[float, Any]
"""How long an attempt takes, and the status or exception it ends with."""


class Attempts:
    """The rest of a chain whose attempts take their time, each as planned; keeps what became of them."""

    def __init__(self, clock: ManualClock, *plan: Step) -> None:
        self.clock = clock
        self.plan = list(plan)
        self.requests: list[Request] = []
        self.times: list[float] = []
        self.given: list[Response] = []
        self.cancelled: list[tuple[int, tuple[Any, ...]]] = []

    async def __call__(self, request: Request) -> Response:
        number = len(self.requests)
        self.requests.append(request)
        self.times.append(self.clock.monotonic())
        time_s, outcome = self.plan[number]
        request.endpoint = make_endpoint(f"http://10.0.0.{number}:80")
        try:
            await self.clock.sleep(time_s)
        except asyncio.CancelledError as error:
            self.cancelled.append((number, error.args))
            raise
        if isinstance(outcome, Exception):
            raise outcome
        response = Response(outcome, {"x-attempt": str(number)}, stream())
        response.endpoint = request.endpoint
        if request.answers is None:
            request.answers = []
        request.answers.append(response)
        self.given.append(response)
        return response


async def stream() -> AsyncIterator[bytes]:
    yield b"ok"


async def outcome_of(call: Any) -> Any:
    try:
        return await call
    except Exception as error:
        return error


class Case:
    """One request through a hedge."""

    def __init__(self, *plan: Step, **options: Any) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics()
        context = Context(clock=self.clock, metrics=self.metrics)
        self.hedge = build(Hedge, context=context, **{"after": "1s", **options})
        self.upstream = Attempts(self.clock, *plan)
        self.request = make_request()
        self.task: asyncio.Task[Response] | None = None

    async def several(self, times: int) -> None:
        """Run more requests, one after the other."""
        for _ in range(times):
            self.request = make_request()
            outcome = await self.run(10)
            await outcome.aclose()

    async def run(self, within_s: float = 100) -> Any:
        self.task = Tasks().spawn(self.hedge(self.request, self.upstream), name="request")
        await self.clock.advance(within_s)
        outcome = await outcome_of(self.task)
        assert self.task.cancelling() == 0
        self.check(outcome)
        return outcome

    def check(self, outcome: object) -> None:
        """Nothing is left behind, and nothing but the answer is open."""
        assert len(self.hedge._timeouts) == 0
        assert len(self.hedge.context.tasks) == 0
        assert [response for response in self.upstream.given if not response.closed] == (
            [outcome] if isinstance(outcome, Response) else []
        )


async def test_an_answer_in_time_is_not_hedged() -> None:
    case = Case((0.99, 200))
    response = await case.run()

    assert (response.status, len(case.upstream.requests)) == (200, 1)
    assert case.request.answers == [response]


async def test_an_attempt_that_the_first_answer_forestalls_is_not_counted() -> None:
    case, answer = Case(), asyncio.get_running_loop().create_future()
    asked: list[Request] = []

    async def upstream(request: Request) -> Response:
        asked.append(request)
        await answer
        return Response(200)

    task = Tasks().spawn(case.hedge(case.request, upstream), name="request")
    await case.clock.advance(0.5)
    ((race,),) = case.hedge._timeouts._slots.values()
    answer.set_result(None)
    race.stop()
    race.fire()  # in the turn of the loop in which the answer has come

    assert (await task).status == 200
    assert (len(asked), case.hedge.state()["attempts"]) == (1, 0)


async def test_a_slow_answer_loses_to_that_of_another_endpoint() -> None:
    case = Case((50, 200), (0.5, 200))
    response = await case.run(1.6)

    assert response.headers["x-attempt"] == "1"
    assert case.upstream.times[1] - case.upstream.times[0] == pytest.approx(1.0, abs=0.01)
    assert case.upstream.cancelled == [(0, (LOST,))]
    first, second = case.upstream.requests
    assert second is not first
    assert [endpoint.url for endpoint in second.avoid] == ["http://10.0.0.0:80"]
    assert case.request.endpoint is response.endpoint


async def test_who_asks_is_known_when_only_the_attempt_that_wins_has_found_it_out() -> None:
    case, ann = Case((50, 200), (0.5, 200)), Identity(subject="ann", method="api_key")

    async def finds_out(request: Request) -> Response:
        response = await case.upstream(request)
        request.identity = ann
        return response

    task = Tasks().spawn(case.hedge(case.request, finds_out), name="request")
    await case.clock.advance(2)

    assert (await task).status == 200
    assert case.request.identity is ann


async def test_a_slow_answer_that_still_comes_first_wins_and_the_other_is_cancelled() -> None:
    case = Case((1.5, 200), (50, 200))
    response = await case.run(1.6)

    assert response.headers["x-attempt"] == "0"
    assert case.upstream.cancelled == [(1, (LOST,))]


@pytest.mark.parametrize("failure", [503, 500, ConnectError(), ResetError()])
async def test_a_first_attempt_that_fails_before_the_time_is_over_is_not_hedged(failure: Any) -> None:
    case = Case((0.5, failure), (0.1, 200))
    outcome = await case.run()

    assert len(case.upstream.requests) == 1
    assert outcome is failure or outcome.status == failure


@pytest.mark.parametrize("failure", [503, ConnectError()])
async def test_a_first_attempt_that_fails_later_waits_for_the_other(failure: Any) -> None:
    case = Case((1.5, failure), (5, 200))
    response = await case.run()

    assert response.headers["x-attempt"] == "1"


@pytest.mark.parametrize("failure", [503, ConnectError()])
@pytest.mark.parametrize("other", [500, ResetError(), TooManyRequestsError("no", retry_after_s=1)])
@pytest.mark.parametrize("other_s", [0.1, 5])
async def test_when_all_fail_the_failure_of_the_first_is_the_answer(failure: Any, other: Any, other_s: float) -> None:
    case = Case((1.5, failure), (other_s, other))
    outcome = await case.run()

    assert len(case.upstream.requests) == 2
    assert outcome is failure or outcome.headers["x-attempt"] == "0"
    assert [endpoint.url for endpoint in case.request.avoid] == ["http://10.0.0.0:80", "http://10.0.0.1:80"]


@pytest.mark.parametrize("failure", [503, ConnectError()])
async def test_another_attempt_that_fails_does_not_beat_a_slow_answer(failure: Any) -> None:
    case = Case((5, 200), (0.1, failure))
    response = await case.run()

    assert response.headers["x-attempt"] == "0"


async def test_there_are_as_many_attempts_as_allowed_each_at_another_endpoint() -> None:
    case = Case((50, 200), (50, 200), (0.5, 200), (0, 200), attempts=3)
    response = await case.run()

    assert response.headers["x-attempt"] == "2"
    assert [round(time_s - case.upstream.times[0], 1) for time_s in case.upstream.times] == [0.0, 1.0, 2.0]
    assert [endpoint.url for endpoint in case.upstream.requests[2].avoid] == [
        *("http://10.0.0.0:80", "http://10.0.0.1:80")
    ]
    assert sorted(number for number, _ in case.upstream.cancelled) == [0, 1]


async def test_answers_that_come_in_the_same_turn_leave_one_open() -> None:
    for first_s, second_s in ((2.0, 0.994), (2.0, 1.0), (1.006, 0.0), (1.0, 0.0)):
        case = Case((first_s, 200), (second_s, 200))
        assert (await case.run()).status == 200


async def test_a_client_that_leaves_in_the_turn_in_which_another_attempt_answers_has_left() -> None:
    case, answer = Case((50, 200)), Response(200)

    async def upstream(request: Request) -> Response:
        if request is case.request:
            return await case.upstream(request)
        task.cancel()
        return answer

    task = Tasks().spawn(case.hedge(case.request, upstream), name="request")
    await case.clock.advance(2)

    assert task.cancelled()
    assert answer.closed
    case.check(None)


async def test_of_two_other_attempts_that_answer_in_the_same_turn_one_is_dropped() -> None:
    case, answers = Case((50, 200), attempts=3), [Response(200), Response(200)]
    both = asyncio.Event()

    async def upstream(request: Request) -> Response:
        if request is case.request:
            return await case.upstream(request)
        await both.wait()
        return answers.pop()

    first, second = answers
    task = Tasks().spawn(case.hedge(case.request, upstream), name="request")
    await case.clock.advance(3)
    both.set()
    response = await task
    await case.clock.advance(0)

    assert {response, first, second} == {first, second}
    assert [each.closed for each in (first, second)].count(True) == 1
    assert not response.closed
    case.check(None)


async def test_an_attempt_that_answers_although_it_was_cancelled_is_dropped() -> None:
    case, late = Case((1.5, 200)), Response(200)

    async def upstream(request: Request) -> Response:
        if request is case.request:
            return await case.upstream(request)
        try:
            await case.clock.sleep(50)
        except asyncio.CancelledError:
            return late
        raise AssertionError

    task = Tasks().spawn(case.hedge(case.request, upstream), name="request")
    await case.clock.advance(3)

    assert (await task).headers["x-attempt"] == "0"
    assert late.closed


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.5, 0.994, 1.0, 1.006, 1.5, 2.0, 2.012, 3.0]),
            st.sampled_from([200, 200, 404, 503, "reset", "limit"]),
        ),
        min_size=5,
        max_size=5,
    ),
    st.integers(2, 5),
    st.sampled_from([None, 0.0, 0.7, 1.0, 1.006, 2.0, 2.5]),
)
def test_whatever_happens_one_answer_is_given_and_nothing_is_left(
    plan: list[tuple[float, Any]], attempts: int, leaves_s: float | None
) -> None:
    failures = {"reset": ResetError(), "limit": TooManyRequestsError("no", retry_after_s=1)}

    async def run() -> None:
        case = Case(*((time_s, failures.get(outcome, outcome)) for time_s, outcome in plan), attempts=attempts)
        if leaves_s is None:
            outcome = await case.run()
            good = [
                place for place, (_, result) in enumerate(plan[: len(case.upstream.requests)]) if result in (200, 404)
            ]
            if isinstance(outcome, Response) and outcome.status < 500:
                assert int(outcome.headers["x-attempt"]) in good
            elif plan[0][0] > 1.01:
                assert not good
            return
        task = Tasks().spawn(case.hedge(case.request, case.upstream), name="request")
        await case.clock.advance(leaves_s)
        task.cancel()
        await case.clock.advance(100)
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        case.check(outcome)

    asyncio.run(run())


@pytest.mark.parametrize("at_s", [0.5, 1.5])
async def test_a_client_that_leaves_cancels_all_attempts(at_s: float) -> None:
    case = Case((50, 200), (50, 200))
    task = Tasks().spawn(case.hedge(case.request, case.upstream), name="request")
    await case.clock.advance(at_s)
    task.cancel()
    await case.clock.advance(1)

    assert task.cancelled()
    assert len(case.upstream.cancelled) == len(case.upstream.requests) == (1 if at_s < 1 else 2)
    case.check(None)


async def test_a_client_that_leaves_while_only_the_other_is_on_its_way_drops_the_failed_answer() -> None:
    case = Case((1.2, 503), (50, 200))
    task = Tasks().spawn(case.hedge(case.request, case.upstream), name="request")
    await case.clock.advance(2)
    task.cancel()
    await case.clock.advance(1)

    assert task.cancelled()
    assert case.upstream.given[0].closed
    case.check(None)


async def test_a_failure_is_held_by_nobody_afterwards() -> None:
    errors: list[weakref.ref[BaseException]] = []

    async def upstream(request: Request) -> Response:
        await case.clock.sleep(1.5)
        error = ResetError()
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def fails() -> bool:
        try:
            await case.hedge(case.request, upstream)
        except ResetError:
            return True
        return False

    case = Case()
    gc.collect()
    gc.disable()  # what holds itself would stay until it is collected
    try:
        task = Tasks().spawn(fails(), name="request")  # a task's own exception would be in the log
        await case.clock.advance(5)
        assert await task
        assert [error() for error in errors] == [None] * 2
    finally:
        gc.enable()


async def test_an_attempt_that_lost_is_held_by_nobody_afterwards() -> None:
    ends: list[weakref.ref[BaseException]] = []

    async def upstream(request: Request) -> Response:
        try:
            await case.clock.sleep(1.5 if request is case.request else 50)
        except asyncio.CancelledError as error:
            ends.append(weakref.ref(error))
            raise
        return Response(200)

    case = Case()
    gc.collect()
    gc.disable()
    try:
        task = Tasks().spawn(case.hedge(case.request, upstream), name="request")
        await case.clock.advance(5)
        assert (await task).status == 200
        assert [error() for error in ends] == [None]
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "request_",
    [
        make_request("POST", body=b"x"),
        make_request("PUT", body=b"x"),
        make_request("GET", body=stream()),
        make_request("GET", headers={"upgrade": "websocket", "connection": "upgrade"}),
    ],
)
async def test_what_must_not_be_asked_twice_is_not(request_: Request) -> None:
    case = Case((50, 200), (0, 200))
    case.request = request_
    await case.run()

    assert len(case.upstream.requests) == 1


async def test_methods_that_are_named_are_hedged() -> None:
    case = Case((50, 200), (0, 200), methods=["PUT"])
    case.request = make_request("PUT", body=b"x")
    response = await case.run()

    assert response.headers["x-attempt"] == "1"
    assert [request.body.data for request in case.upstream.requests] == [b"x", b"x"]


async def test_the_budget_bounds_further_attempts() -> None:
    case = Case(*[(5.0, 200)] * 250, budget={"share": "20%", "minimum": 0})
    calls = [Tasks().spawn(case.hedge(make_request(), case.upstream), name="request") for _ in range(100)]
    await case.clock.advance(1.1)
    at_once = len(case.upstream.requests)
    await case.clock.advance(100)
    await asyncio.gather(*calls)

    assert at_once == len(case.upstream.requests) == 120
    state = case.hedge.state()
    assert (state["attempts"], state["refused"], state["after_s"]) == (20, 80, 1.0)
    labels = (("route", ""), ("service", ""))
    assert {
        name: family.metrics[labels].value  # type: ignore[union-attr]
        for name, family in case.metrics.families.items()
    } == {
        "meshwright_hedge_attempts_total": 20,
        "meshwright_hedge_refused_total": 80,
        "meshwright_hedge_wins_total": state["wins"],
    }


async def test_a_budget_from_outside_is_the_one_that_counts() -> None:
    case = Case((50, 200), (0, 200))
    budget = case.request.budget = RetryBudget(0.0, minimum=0, now=case.clock.monotonic)
    response = await case.run()

    assert response.headers["x-attempt"] == "0"
    assert budget.refused == 1
    assert case.hedge.state()["budget"]["requests"] == 0


async def test_a_percentile_is_that_of_the_answers_so_far() -> None:
    plan = [(0.1, 200)] * 95 + [(0.5, 200)] * 5 + [(0.02, 503)] * 100 + [(9.0, 200), (0.05, 200)]
    case = Case(*plan, after="p90", min_answers=100)
    before = case.hedge.state()["after_s"]
    await case.several(200)
    response = await case.run()

    assert before is None
    assert case.hedge.state()["after_s"] == pytest.approx(0.1, rel=0.06)
    assert response.headers["x-attempt"] == "201"
    assert case.upstream.times[-1] - case.upstream.times[-2] == pytest.approx(0.1, abs=0.016)


async def test_before_there_are_enough_answers_nothing_is_hedged() -> None:
    case = Case((500.0, 200), min_answers=2, after="p50")
    await case.run(1000)

    assert len(case.upstream.requests) == 1


async def test_a_lost_first_attempt_counts_with_the_time_it_had_taken() -> None:
    plan = [*[(0.1, 200)] * 10, *[(60.0, 200), (0.4, 200)] * 50]
    case = Case(*plan, after="p50", min_answers=10, budget="100%")
    await case.several(60)

    assert case.hedge.state()["after_s"] > 0.4


@pytest.mark.parametrize(
    "wrong",
    [
        *({"after": "p5"}, {"after": "p100"}, {"after": "95"}, {"after": "fast"}, {"attempts": 1}, {"attempts": 6}),
        *({"methods": []}, {"methods": ["get"]}, {"min_answers": 0}),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(Hedge, **wrong)


async def test_it_holds_to_the_contract_of_filters() -> None:
    for options in ({"after": "1ms"}, {"after": "5s"}, {"after": "p50", "min_answers": 1}):
        await check_filter(build(Hedge, **options))


CONFIG = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
routes:
  - {name: all, match: {path: "/*"}, filters: [hedge: {after: 30ms, budget: 100%}], to: back}
services:
  back: {endpoints: ["SLOW", "FAST"]}
"""


async def test_over_real_sockets_a_hung_endpoint_costs_a_little_time_and_no_request() -> None:
    ended: list[bool] = []
    served: Counter[str] = Counter()

    async def hang(wire: Wire) -> None:
        await wire.message()
        served["slow"] += 1
        ended.append(await wire.ended())

    async def answer(wire: Wire) -> None:
        while True:
            await wire.message()
            served["fast"] += 1
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfast")

    async with scripted_upstream(hang) as slow, scripted_upstream(answer) as fast:
        config = CONFIG.replace("SLOW", slow.url).replace("FAST", fast.url)
        async with gateway(config) as running, httpx.AsyncClient(base_url=running.url) as client:
            answers = [await client.get("/") for _ in range(20)]

    assert [response.text for response in answers] == ["fast"] * 20
    assert served["fast"] == 20
    assert len(ended) == served["slow"] >= 5
    slow_s = [response.elapsed.total_seconds() for response in answers if response.elapsed.total_seconds() >= 0.03]
    assert len(slow_s) >= served["slow"]
