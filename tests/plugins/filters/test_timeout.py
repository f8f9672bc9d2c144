from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.filters.timeout import Timeout
from meshwright_plugins.filters.timeout.grpc_timeout import read_grpc_timeout, write_grpc_timeout
from meshwright_sdk import Body, CallNext, DeadlineError, Request, Response, Tasks, UpstreamTimeoutError
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, check_filter, gateway, make_request
from tests.core.http1.wire import Wire, scripted_upstream

WALL_MS = 1_700_000_000_000


class Slow:
    """Answers after a time of the clock; keeps what it saw and whether it was cancelled."""

    def __init__(self, clock: ManualClock, *times_s: float) -> None:
        self.clock = clock
        self.times_s = list(times_s)
        self.deadlines: list[float | None] = []
        self.told: list[str | None] = []
        self.cancelled: list[BaseException] = []

    async def __call__(self, request: Request) -> Response:
        self.deadlines.append(request.deadline)
        self.told.append(request.headers.get("x-request-deadline"))
        try:
            await self.clock.sleep(self.times_s.pop(0))
        except asyncio.CancelledError as error:
            self.cancelled.append(error)
            raise
        return Response.text("ok")


def around(outer: Timeout, inner: Timeout, innermost: CallNext) -> CallNext:
    async def call_inner(request: Request) -> Response:
        return await inner(request, innermost)

    async def call(request: Request) -> Response:
        return await outer(request, call_inner)

    return call


async def finished(clock: ManualClock, call: Any, *, within_s: float = 100) -> object:
    """Return what became of the call: a response, or what was raised."""
    task = Tasks().spawn(call, name="call")
    await clock.advance(within_s)
    return await outcome_of(task)


async def outcome_of(task: asyncio.Task[Any]) -> object:
    try:
        return await task
    except Exception as error:
        return error


async def test_an_answer_in_time_passes() -> None:
    clock = ManualClock()
    timeout, upstream = build(Timeout, after="2s", clock=clock), Slow(clock, 1.99)

    outcome = await finished(clock, timeout(request := make_request(), upstream))

    assert isinstance(outcome, Response)
    assert upstream.deadlines == [1002.0]
    assert request.deadline is None
    assert len(timeout._timeouts) == 0


async def test_an_answer_that_is_late_is_given_up() -> None:
    clock = ManualClock()
    timeout, upstream = build(Timeout, after="2s", clock=clock), Slow(clock, 2.5)

    outcome = await finished(clock, timeout(request := make_request(), upstream))

    assert isinstance(outcome, UpstreamTimeoutError)
    assert (outcome.status, outcome.code, outcome.retryable) == (504, "upstream_timeout", True)
    assert "within 2s" in outcome.detail
    assert len(upstream.cancelled) == 1
    assert request.deadline is None


async def test_an_outer_deadline_that_is_earlier_is_obeyed_and_not_to_be_retried() -> None:
    clock = ManualClock()
    timeout, upstream = build(Timeout, after="2s", clock=clock), Slow(clock, 5)
    request = make_request()
    request.deadline = clock.monotonic() + 1

    outcome = await finished(clock, timeout(request, upstream), within_s=1.01)

    assert isinstance(outcome, DeadlineError)
    assert (outcome.status, outcome.code, outcome.retryable) == (504, "deadline_exceeded", False)
    assert upstream.deadlines == [1001.0]
    assert request.deadline == 1001.0


async def test_an_outer_deadline_that_is_later_changes_nothing() -> None:
    clock = ManualClock()
    timeout, upstream = build(Timeout, after="2s", clock=clock), Slow(clock, 5)
    request = make_request()
    request.deadline = clock.monotonic() + 3

    outcome = await finished(clock, timeout(request, upstream), within_s=2.01)

    assert type(outcome) is UpstreamTimeoutError
    assert request.deadline == 1003.0


@pytest.mark.parametrize("late_s", [0.0, 1.0])
async def test_a_request_whose_deadline_has_passed_is_not_sent(late_s: float) -> None:
    clock, upstream = ManualClock(), FakeUpstream()
    timeout = build(Timeout, after="2s", clock=clock)
    request = make_request()
    request.deadline = clock.monotonic() - late_s

    with pytest.raises(DeadlineError):
        await timeout(request, upstream)
    assert upstream.requests == []


async def test_of_two_the_one_around_is_late_when_both_times_end_together() -> None:
    clock = ManualClock()
    whole, attempt = (build(Timeout, after=after, clock=clock) for after in ("1s", "1s"))
    upstream = Slow(clock, 5)

    outcome = await finished(clock, around(whole, attempt, upstream)(make_request()))

    assert isinstance(outcome, UpstreamTimeoutError)
    assert len(upstream.cancelled) == 1
    assert (len(whole._timeouts), len(attempt._timeouts)) == (0, 0)


async def test_each_attempt_has_its_own_time_within_the_whole() -> None:
    clock = ManualClock()
    whole, attempt = build(Timeout, after="10s", clock=clock), build(Timeout, after="1s", clock=clock)
    upstream = Slow(clock, 5, 0.5)

    async def attempts(request: Request) -> Response:
        try:
            return await attempt(request, upstream)
        except UpstreamTimeoutError:
            return await attempt(request, upstream)

    outcome = await finished(clock, whole(make_request(), attempts))

    assert isinstance(outcome, Response)
    assert upstream.deadlines[0] == 1001.0
    assert upstream.deadlines[1] == pytest.approx(1002.0, abs=0.01)


async def test_a_client_that_leaves_cancels_and_nothing_is_left() -> None:
    clock, tasks = ManualClock(), Tasks()
    timeout, upstream = build(Timeout, after="2s", clock=clock), Slow(clock, 5)
    task = tasks.spawn(timeout(make_request(), upstream), name="call")
    await clock.advance(1)
    task.cancel()
    await clock.advance(5)

    assert task.cancelled()
    assert len(timeout._timeouts) == 0


async def test_the_deadline_is_told_to_the_service_in_milliseconds_of_wall_time() -> None:
    clock, upstream = ManualClock(), FakeUpstream()
    await build(Timeout, after="2500ms", clock=clock)(
        make_request(headers={"x-request-deadline": "7", "accept": "*/*"}), upstream
    )

    assert upstream.requests[0].headers.getlist("x-request-deadline") == [str(WALL_MS + 2500)]


async def test_the_header_has_another_name_or_is_left_out() -> None:
    clock, upstream = ManualClock(), FakeUpstream()
    await build(Timeout, after="1s", header="X-Until", clock=clock)(make_request(), upstream)
    await build(Timeout, after="1s", header=None, clock=clock)(make_request(), upstream)

    assert upstream.requests[0].headers["x-until"] == str(WALL_MS + 1000)
    assert list(upstream.requests[1].headers) == ["host"]


async def test_after_a_failure_the_header_tells_the_deadline_of_the_whole_request_again() -> None:
    clock = ManualClock()
    whole, attempt = build(Timeout, after="10s", clock=clock), build(Timeout, after="1s", clock=clock)
    upstream = Slow(clock, 5, 0.1)

    async def elsewhere(request: Request) -> Response:
        try:
            return await attempt(request, upstream)
        except UpstreamTimeoutError:
            return await upstream(request)

    await finished(clock, whole(request := make_request(), elsewhere))
    alone = await finished(clock, attempt(other := make_request(), Slow(clock, 5)))

    assert upstream.told == [str(WALL_MS + 1000), str(WALL_MS + 10_000)]
    assert request.headers["x-request-deadline"] == str(WALL_MS + 10_000)
    assert isinstance(alone, UpstreamTimeoutError)
    assert "x-request-deadline" not in other.headers


async def test_a_deadline_of_the_client_is_obeyed_only_when_it_is_trusted_and_earlier() -> None:
    clock = ManualClock()
    for trust, sent, expected in (
        (False, str(WALL_MS + 500), 1002.0),
        (True, str(WALL_MS + 500), 1000.5),
        (True, str(WALL_MS + 5000), 1002.0),
        (True, "soon", 1002.0),
        (True, "-5", 1002.0),
        (True, "9" * 17, 1002.0),
        (True, "", 1002.0),
    ):
        upstream = Slow(clock, 0)
        timeout = build(Timeout, after="2s", trust=trust, clock=ManualClock())
        await timeout(make_request(headers={"x-request-deadline": sent}), upstream)

        assert upstream.deadlines[0] == pytest.approx(expected, abs=1e-3), (trust, sent)


async def test_a_trusted_deadline_that_has_passed_is_answered_at_once() -> None:
    upstream = FakeUpstream()
    with pytest.raises(DeadlineError):
        await build(Timeout, after="2s", trust=True, clock=ManualClock())(
            make_request(headers={"x-request-deadline": str(WALL_MS - 1)}), upstream
        )
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("sent", "told", "deadline"),
    [("500m", b"500000u", 1000.5), ("5S", b"2000000u", 1002.0), ("later", b"2000000u", 1002.0)],
)
async def test_a_grpc_timeout_is_obeyed_and_handed_on(sent: str, told: bytes, deadline: float) -> None:
    clock = ManualClock()
    upstream = Slow(clock, 0)
    request = make_request("POST", headers={"content-type": "application/grpc+proto", "grpc-timeout": sent})

    await build(Timeout, after="2s", clock=clock)(request, upstream)

    assert upstream.deadlines == [deadline]
    assert [value for name, value in request.headers.raw if name == b"grpc-timeout"] == [told]


async def test_a_grpc_service_is_told_the_time_that_is_left_and_others_are_not() -> None:
    clock, upstream = ManualClock(), FakeUpstream()
    timeout = build(Timeout, after="2s", clock=clock)

    await timeout(make_request("POST", headers={"content-type": "application/grpc"}), upstream)
    await timeout(make_request("POST", headers={"content-type": "application/json"}), upstream)

    assert upstream.requests[0].headers["grpc-timeout"] == "2000000u"
    assert "grpc-timeout" not in upstream.requests[1].headers


async def test_the_clients_grpc_timeout_does_not_begin_again_with_each_attempt() -> None:
    clock = ManualClock()
    attempt = build(Timeout, after="1s", clock=clock)
    upstream = Slow(clock, 5, 5)
    request = make_request("POST", headers={"content-type": "application/grpc", "grpc-timeout": "1500m"})

    first = await finished(clock, attempt(request, upstream), within_s=1.01)
    second = await finished(clock, attempt(request, upstream), within_s=0.5)

    assert type(first) is UpstreamTimeoutError
    assert isinstance(second, DeadlineError)
    assert upstream.deadlines == [1001.0, pytest.approx(1001.5, abs=1e-3)]


@given(st.floats(0, 3.2e9))
def test_a_grpc_timeout_that_was_written_reads_as_no_more_and_not_much_less(seconds: float) -> None:
    written = write_grpc_timeout(seconds)

    assert len(written) <= 9
    assert seconds * (1 - 2e-5) - 2e-6 <= read_grpc_timeout(written) <= seconds * (1 + 1e-9)


@pytest.mark.parametrize("wrong", [b"", b"5", b"S", b"123456789S", b"1 S", b"-1S", b"1s", b"1.5S"])
def test_what_is_no_grpc_timeout_bounds_nothing(wrong: bytes) -> None:
    assert read_grpc_timeout(wrong) == float("inf")


class Chunks:
    """A body with a pause before its second chunk."""

    def __init__(self, clock: ManualClock, pause_s: float) -> None:
        self.clock = clock
        self.pause_s = pause_s
        self.closed = False
        self.trailers = [(b"x-sum", b"1")]
        self._left = [b"a", b"b"]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        if len(self._left) == 1:
            await self.clock.sleep(self.pause_s)
        return self._left.pop(0)

    async def aclose(self) -> None:
        self.closed = True


async def content(response: Response) -> bytes:
    return b"".join([chunk async for chunk in response.body])


@pytest.mark.parametrize(("body", "wrapped"), [(False, False), (True, True)])
async def test_the_body_is_bounded_too_when_that_is_asked_for(body: bool, wrapped: bool) -> None:
    clock, tasks = ManualClock(), Tasks()
    chunks = Chunks(clock, 3)
    timeout = build(Timeout, after="2s", body=body, clock=clock)
    response = await timeout(make_request(), FakeUpstream(Response(200, body=chunks)))
    reading = tasks.spawn(content(response), name="reading")
    await clock.advance(5)
    outcome = await outcome_of(reading)
    await response.aclose()

    assert isinstance(outcome, UpstreamTimeoutError) if wrapped else outcome == b"ab"
    assert chunks.closed
    assert len(timeout._timeouts) == 0


async def test_a_body_in_time_keeps_its_length_and_its_trailers() -> None:
    clock, tasks = ManualClock(), Tasks()
    answer = Response(200, {"content-length": "2"}, Body.stream(Chunks(clock, 1), length=2))
    response = await build(Timeout, after="2s", body=True, clock=clock)(make_request(), FakeUpstream(answer))
    reading = tasks.spawn(content(response), name="reading")
    await clock.advance(5)

    assert await reading == b"ab"
    assert response.headers["content-length"] == "2"
    assert response.body.trailers["x-sum"] == "1"


async def test_a_body_that_a_filter_inside_has_read_is_bounded_no_more() -> None:
    answer = Response(200, {}, Body.stream(Chunks(ManualClock(), 0)))
    whole = await answer.body.read(100)
    response = await build(Timeout, after="1s", body=True)(make_request(), FakeUpstream(answer))

    assert await content(response) == whole != b""


def test_what_is_trusted_has_a_name() -> None:
    with pytest.raises(ValidationError, match="expected a header with trust; got null"):
        build(Timeout, after="1s", trust=True, header=None)


@pytest.mark.parametrize("wrong", ["0s", "2", "-1s"])
def test_a_time_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError, match=r"duration|greater than 0"):
        build(Timeout, after=wrong)


async def test_it_holds_to_the_contract_of_filters() -> None:
    await check_filter(build(Timeout, after="5s", body=True, trust=True))
    await check_filter(build(Timeout, after="5s"), make=lambda: make_request("POST"))


CONFIG = """\
listeners: [{name: web, bind: "127.0.0.1:0"}]
routes:
  - {name: whole, match: {path: /whole}, filters: [timeout: {after: 150ms}], to: back}
  - {name: all, match: {path: "/*"}, filters: [timeout: {after: 10s, trust: true}], to: bounded}
services:
  back: {endpoints: ["UPSTREAM"]}
  bounded: {endpoints: ["UPSTREAM"], filters: [timeout: {after: 150ms, body: true}]}
"""


async def test_over_real_sockets_a_late_answer_is_504_and_its_connection_is_closed() -> None:
    ended: list[bool] = []

    async def script(wire: Wire) -> None:
        request = await wire.message()
        if request.target == "/body":
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel")
        ended.append(await wire.ended())

    async with scripted_upstream(script) as upstream:
        config = CONFIG.replace("UPSTREAM", upstream.url)
        async with gateway(config) as running, httpx.AsyncClient(base_url=running.url) as client:
            whole = await client.get("/whole")
            attempt = await client.get("/attempt")
            passed = await client.get("/attempt", headers={"x-request-deadline": "1000"})
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get("/body")

    assert [answer.status_code for answer in (whole, attempt, passed)] == [504] * 3
    assert [answer.json()["code"] for answer in (whole, attempt, passed)] == [
        *("upstream_timeout", "upstream_timeout", "deadline_exceeded")
    ]
    assert len(ended) == 3
