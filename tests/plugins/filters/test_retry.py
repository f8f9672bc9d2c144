from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from meshwright_plugins.filters.retry import Retry
from meshwright_plugins.filters.retry.kept_body import KeptBody
from meshwright_sdk import (
    Body,
    CircuitOpenError,
    ClientGoneError,
    ConnectError,
    Context,
    DeadlineError,
    Endpoint,
    Metrics,
    NoEndpointsError,
    OverloadError,
    ProtocolError,
    Request,
    ResetError,
    Response,
    RetryBudget,
    Tasks,
    UpstreamError,
    UpstreamTimeoutError,
)
from meshwright_sdk.testing import (
    FakeUpstream,
    ManualClock,
    build,
    check_filter,
    gateway,
    make_endpoint,
    make_request,
)
from tests.core.http1.wire import Wire, connect, scripted_upstream
from tests.ports import free_port

AT_ONCE: dict[str, Any] = {"backoff": "0s", "max_backoff": "0s"}


def answer(status: int, **headers: str) -> Callable[[Request], Response]:
    return lambda request: Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


OK = answer(200)


async def outcome_of(call: Any) -> object:
    try:
        return await call
    except Exception as error:
        return error


@pytest.mark.parametrize(
    ("failure", "on"),
    [
        (ConnectError(), "connect"),
        (UpstreamTimeoutError(code="upstream_connect_timeout"), "connect"),
        (ResetError(), "reset"),
        (UpstreamTimeoutError(), "timeout"),
        (ProtocolError(), "protocol"),
        (UpstreamError(), "502"),
        (UpstreamError(), "5xx"),
        (answer(503), "503"),
        (answer(500), "5xx"),
        (answer(429), "429"),
    ],
)
async def test_what_is_named_is_tried_again_and_nothing_else(failure: Any, on: str) -> None:
    others = {"connect", "reset", "timeout", "protocol", "502", "503", "500", "429"} - {on}
    if on == "5xx":
        others -= {"502", "500"}

    named, other = FakeUpstream(failure, OK), FakeUpstream(failure, OK)
    done = await build(Retry, on=[on], **AT_ONCE)(make_request(), named)
    left = await outcome_of(build(Retry, on=sorted(others), **AT_ONCE)(make_request(), other))

    assert (done.status, len(named.requests)) == (200, 2)
    assert len(other.requests) == 1
    assert left is failure if isinstance(failure, Exception) else isinstance(left, Response)


@pytest.mark.parametrize(
    "refusal",
    [
        DeadlineError(),
        NoEndpointsError(),
        OverloadError(),
        CircuitOpenError(),
        ClientGoneError(),
        UpstreamTimeoutError(retryable=False),
    ],
)
async def test_a_refusal_is_never_tried_again(refusal: Exception) -> None:
    upstream = FakeUpstream(refusal, OK)
    everything = ["connect", "reset", "timeout", "protocol", "4xx", "5xx"]

    assert await outcome_of(build(Retry, on=everything, **AT_ONCE)(make_request(), upstream)) is refusal
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("attempts", [2, 3, 5])
async def test_attempts_are_so_many_in_all_and_the_last_failure_is_the_answer(attempts: int) -> None:
    upstream = FakeUpstream(ConnectError("first"), answer(502), answer(503), answer(503, x_last="1"))

    outcome = await build(Retry, attempts=attempts, **AT_ONCE)(make_request(), upstream)

    assert len(upstream.requests) == attempts
    assert (outcome.status, outcome.headers.get("x-last")) == ((502, None), (503, None), None, (503, "1"))[attempts - 2]


async def test_an_error_at_last_is_raised_as_it_came() -> None:
    last = ResetError("last")
    upstream = FakeUpstream(ConnectError("first"), answer(503), last)

    assert await outcome_of(build(Retry, **AT_ONCE)(make_request(), upstream)) is last


async def test_an_answer_that_is_dropped_is_closed_before_the_next_attempt() -> None:
    given = [Response(503), Response(503), Response(503)]
    upstream = FakeUpstream(*given)
    closed_at: list[int] = []
    for response in given[:2]:
        response.on_close(lambda error: closed_at.append(len(upstream.requests)))

    outcome = await build(Retry, **AT_ONCE)(make_request(), upstream)

    assert outcome is given[2]
    assert [response.closed for response in given] == [True, True, False]
    assert closed_at == [1, 2]


@pytest.mark.parametrize(("method", "calls"), [("GET", 2), ("PUT", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)])
async def test_a_request_that_may_have_been_seen_is_repeated_only_if_it_is_idempotent(method: str, calls: int) -> None:
    upstream = FakeUpstream(ResetError(), OK)
    await outcome_of(build(Retry, **AT_ONCE)(make_request(method, body=b"x"), upstream))

    assert len(upstream.requests) == calls


async def test_methods_that_are_named_are_repeated() -> None:
    upstream = FakeUpstream(ResetError(), OK)
    await build(Retry, methods=["POST"], **AT_ONCE)(make_request("POST", body=b"x"), upstream)

    assert len(upstream.requests) == 2


async def stream() -> AsyncIterator[bytes]:
    yield b"ab"
    yield b"cd"
    yield b"ef"


class Upstream:
    """Reads so many chunks of each request's body, or all of it, and then gives the next answer."""

    def __init__(self, *plan: tuple[int | None, Any]) -> None:
        self.plan = list(plan)
        self.read: list[list[bytes]] = []
        self.bodies: list[Body] = []

    async def __call__(self, request: Request) -> Response:
        chunks, outcome = self.plan.pop(0)
        got: list[bytes] = []
        self.read.append(got)
        self.bodies.append(request.body)
        if chunks != 0:
            async for chunk in request.body:
                got.append(chunk)
                if len(got) == chunks:
                    break
            await request.body.aclose()
        if isinstance(outcome, Exception):
            raise outcome
        response: Response = outcome(request)
        return response


@pytest.mark.parametrize("first", [0, 1, 2, None])
async def test_a_streamed_body_is_sent_again_from_its_beginning(first: int | None) -> None:
    upstream = Upstream((first, ResetError()), (1, ResetError()), (None, OK))
    await build(Retry, **AT_ONCE)(make_request("PUT", body=stream()), upstream)

    assert [b"".join(read) for read in upstream.read[:1]] == [b"abcdef"[: 2 * first if first is not None else 6]]
    assert upstream.read[1][0] in (b"ab", b"abcdef")
    assert b"".join(upstream.read[2]) == b"abcdef"
    assert upstream.bodies[1].replayable == (first is None)


async def test_a_streamed_body_is_sent_on_before_it_is_complete() -> None:
    sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def slow() -> AsyncIterator[bytes]:
        while chunk := await sent.get():
            yield chunk

    async def first_chunk(request: Request) -> Response:
        return Response(200, body=await anext(aiter(request.body)))

    sent.put_nowait(b"ab")
    async with asyncio.timeout(5):
        response = await build(Retry)(make_request("PUT", body=slow()), first_chunk)

    assert response.body.data == b"ab"


@pytest.mark.parametrize(("max_body", "calls"), [("6B", 2), ("5B", 1), ("0B", 1)])
async def test_a_streamed_body_above_the_limit_is_let_go(max_body: str, calls: int) -> None:
    upstream = Upstream((None, ResetError()), (None, OK))
    await outcome_of(build(Retry, max_body=max_body, **AT_ONCE)(make_request("PUT", body=stream()), upstream))

    assert [b"".join(read) for read in upstream.read] == [b"abcdef"] * calls


async def test_a_body_known_to_be_too_long_stays_the_stream_it_is() -> None:
    request = make_request("PUT")
    request.body = body = Body.stream(stream(), length=6)
    upstream = Upstream((None, OK))
    await build(Retry, max_body="5B")(request, upstream)

    assert upstream.bodies == [body]


async def test_a_connection_that_was_never_made_is_tried_again_whatever_the_request() -> None:
    for request in (make_request("POST", body=b"x"), make_request("POST", body=stream())):
        upstream = Upstream((0, ConnectError()), (None, OK))
        await build(Retry, **AT_ONCE)(request, upstream)
        assert len(upstream.read) == 2

    upstream = Upstream((1, ConnectError()), (None, OK))
    assert isinstance(
        await outcome_of(build(Retry, **AT_ONCE)(make_request("POST", body=stream()), upstream)), ConnectError
    )


class Source:
    """A stream that knows whether it was given up."""

    def __init__(self) -> None:
        self.chunks = [b"ab", b"cd"]
        self.closed = False
        self.trailers = [(b"x-sum", b"1")]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self.chunks:
            raise StopAsyncIteration
        return self.chunks.pop(0)

    async def aclose(self) -> None:
        self.closed = True


async def test_the_source_of_a_kept_body_is_given_up_with_the_last_attempt_and_not_before() -> None:
    source, open_between = Source(), []

    async def upstream(request: Request) -> Response:
        open_between.append(not source.closed)
        await anext(aiter(request.body))
        await request.body.aclose()
        raise ResetError

    await outcome_of(build(Retry, attempts=3, **AT_ONCE)(make_request("PUT", body=source), upstream))

    assert open_between == [True] * 3
    assert source.closed


async def test_an_attempt_that_was_given_up_takes_nothing_from_the_next() -> None:
    kept = KeptBody(Body.stream(Source()), 100)
    first = aiter(kept.body())
    assert await anext(first) == b"ab"
    second = kept.body()

    with pytest.raises(ResetError):
        await anext(first)
    assert [chunk async for chunk in second] == [b"ab", b"cd"]


async def test_the_fields_after_a_kept_body_go_with_each_attempt() -> None:
    kept = KeptBody(Body.stream(Source()), 100)
    for _ in range(2):
        body = kept.body()
        assert b"".join([chunk async for chunk in body]) == b"abcd"
        assert body.trailers["x-sum"] == "1"


async def test_each_attempt_avoids_the_endpoints_of_those_before() -> None:
    endpoints = [make_endpoint(f"http://10.0.0.{number}:80") for number in range(3)]
    avoided: list[tuple[Endpoint, ...]] = []

    async def upstream(request: Request) -> Response:
        avoided.append(request.avoid)
        request.endpoint = endpoints[min(len(avoided) - 1, 1)]
        raise ConnectError

    await outcome_of(build(Retry, attempts=4, **AT_ONCE)(make_request(), upstream))

    assert avoided == [(), (endpoints[0],), tuple(endpoints[:2]), tuple(endpoints[:2])]


async def test_the_service_is_told_which_attempt_it_gets() -> None:
    told: list[list[str]] = []

    async def upstream(request: Request) -> Response:
        told.append(request.headers.getlist("x-request-attempt"))
        raise ConnectError

    await outcome_of(build(Retry, **AT_ONCE)(make_request(headers={"x-request-attempt": "9"}), upstream))
    await outcome_of(build(Retry, header=None, attempts=2, **AT_ONCE)(make_request(), upstream))

    assert told == [["1"], ["2"], ["3"], [], []]


async def waits(clock: ManualClock, retry: Retry, upstream: FakeUpstream, request: Request | None = None) -> object:
    task = Tasks().spawn(retry(request or make_request(), upstream), name="retry")
    await clock.advance(1000)
    return await outcome_of(task)


class Timed(FakeUpstream):
    """Notes when it was called."""

    def __init__(self, clock: ManualClock, *answers: Any) -> None:
        super().__init__(*answers)
        self.clock = clock
        self.times: list[float] = []

    async def __call__(self, request: Request) -> Response:
        self.times.append(self.clock.monotonic())
        return await super().__call__(request)

    @property
    def pauses(self) -> list[float]:
        return [after - before for before, after in zip(self.times, self.times[1:], strict=False)]


@given(st.integers(0, 2**32), st.integers(2, 20), st.integers(0, 5000), st.integers(0, 60_000))
def test_each_wait_is_a_random_part_of_one_that_doubles_up_to_its_bound(
    seed: int, attempts: int, base_ms: int, more_ms: int
) -> None:
    async def run() -> None:
        clock = ManualClock()
        upstream = Timed(clock, ConnectError())
        options: dict[str, Any] = {
            "attempts": attempts,
            "backoff": f"{base_ms}ms",
            "max_backoff": f"{base_ms + more_ms}ms",
        }
        retry = build(Retry, clock=clock, random=Random(seed), budget={"share": "0%", "minimum": 100}, **options)
        await waits(clock, retry, upstream)
        assert len(upstream.times) == attempts
        for number, pause_s in enumerate(upstream.pauses):
            assert 0 <= pause_s <= min(base_ms * 2**number, base_ms + more_ms) / 1000 + 1e-9

    asyncio.run(run())


async def test_the_waits_are_spread_over_their_whole_length() -> None:
    clock = ManualClock()
    pauses: list[float] = []
    for seed in range(400):
        upstream = Timed(clock, ConnectError(), OK)
        context = Context(clock=clock, random=Random(seed))
        await waits(clock, build(Retry, context=context, backoff="1s", max_backoff="1s"), upstream)
        pauses += upstream.pauses

    quarters = Counter(int(pause_s * 4) for pause_s in pauses)
    assert all(70 <= quarters[quarter] <= 130 for quarter in range(4))


async def test_the_time_an_answer_asks_for_is_waited_for_up_to_a_bound() -> None:
    clock = ManualClock()
    for after, expected in (
        ("2", [2.0]),
        ("3", [3.0]),
        ("4", []),
        (formatdate(clock.wall() + 2, usegmt=True), [2.0]),
        (formatdate(clock.wall() - 100, usegmt=True), [0.0]),
        (formatdate(clock.wall() + 4000, usegmt=True), []),
        ("soon", [0.0]),
        ("9" * 30, []),
        ("-1", [0.0]),
    ):
        there = ManualClock()
        upstream = Timed(there, answer(503, retry_after=after), OK)
        retry = build(Retry, clock=there, max_retry_after="3s", **AT_ONCE)
        outcome = await waits(there, retry, upstream)

        assert isinstance(outcome, Response)
        assert upstream.pauses == expected, after
        assert outcome.status == (200 if expected else 503)


@pytest.mark.parametrize(("left_s", "calls"), [(5.0, 1), (2.0, 1), (5.1, 2), (100.0, 2)])
async def test_an_attempt_that_would_begin_after_the_deadline_is_not_waited_for(left_s: float, calls: int) -> None:
    clock = ManualClock()
    upstream = Timed(clock, answer(503, retry_after="5"), OK)
    request = make_request()
    request.deadline = clock.monotonic() + left_s
    retry = build(Retry, clock=clock, max_retry_after="10s", **AT_ONCE)

    outcome = await outcome_of(waits(clock, retry, upstream, request))

    assert isinstance(outcome, Response)
    assert (len(upstream.times), outcome.status) == (calls, 200 if calls == 2 else 503)


async def test_the_budget_bounds_what_a_dead_service_gets() -> None:
    metrics = Metrics()
    context = Context(clock=ManualClock(), metrics=metrics, route="all")
    retry, upstream = build(Retry, context=context, attempts=5, **AT_ONCE), FakeUpstream(ConnectError())
    for _ in range(1000):
        await outcome_of(retry(make_request(), upstream))

    assert 1190 <= len(upstream.requests) <= 1200
    state = retry.state()
    assert state["attempts"] == len(upstream.requests) - 1000
    assert state["budget"] == {
        "requests": 1000,
        "attempts": state["attempts"],
        "allowed": 200,
        "spent": state["attempts"],
        "refused": state["refused"],
    }
    labels = (("route", "all"), ("service", ""))
    values = {name: family.metrics[labels] for name, family in metrics.families.items()}
    assert {name: value.value for name, value in values.items()} == {  # type: ignore[union-attr]
        "meshwright_retry_attempts_total": state["attempts"],
        "meshwright_retry_exhausted_total": state["exhausted"],
        "meshwright_retry_refused_total": state["refused"],
    }
    assert state["refused"] > 0
    assert state["exhausted"] > 0


async def test_the_budget_of_the_outermost_counts_for_those_inside() -> None:
    clock = ManualClock()
    outer = build(Retry, attempts=3, budget={"share": "0%", "minimum": 2}, clock=clock, **AT_ONCE)
    inner = build(Retry, attempts=3, clock=clock, **AT_ONCE)
    upstream = FakeUpstream(ConnectError())

    async def call_inner(request: Request) -> Response:
        return await inner(request, upstream)

    await outcome_of(outer(make_request(), call_inner))

    assert len(upstream.requests) == 3
    assert inner.state()["budget"]["requests"] == 0
    assert outer.state()["budget"]["attempts"] == 2


async def test_a_request_that_has_a_budget_keeps_it() -> None:
    request, budget = make_request(), RetryBudget(0.0, minimum=0, now=ManualClock().monotonic)
    request.budget = budget
    upstream = FakeUpstream(ConnectError())

    await outcome_of(build(Retry, **AT_ONCE)(request, upstream))

    assert (len(upstream.requests), budget.refused, request.budget) == (1, 1, budget)


async def test_a_client_that_leaves_while_it_is_waited_ends_it() -> None:
    clock, tasks = ManualClock(), Tasks()
    upstream = FakeUpstream(Response(503), OK)
    retry = build(Retry, clock=clock, backoff="10s", max_backoff="10s")
    task = tasks.spawn(retry(make_request(), upstream), name="retry")
    await clock.advance(0)
    task.cancel()
    await clock.advance(60)

    assert task.cancelled()
    assert len(upstream.requests) == 1


async def test_a_good_answer_whose_body_breaks_off_is_not_tried_again() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ResetError

    upstream = FakeUpstream(Response(200, body=broken()), OK)
    response = await build(Retry, on=["reset", "5xx"])(make_request(), upstream)

    with pytest.raises(ResetError):
        assert [chunk async for chunk in response.body] == []
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(("failures", "body"), [(1, b""), (3, b""), (1, stream()), (3, stream())])
async def test_a_failure_is_held_by_nobody_afterwards(failures: int, body: Any) -> None:
    errors: list[weakref.ref[BaseException]] = []

    async def upstream(request: Request) -> Response:
        error = ResetError() if len(errors) < failures - 1 else OverloadError()
        errors.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    gc.collect()
    gc.disable()  # what holds itself would stay until it is collected
    try:
        with pytest.raises(OverloadError):
            await build(Retry, **AT_ONCE)(make_request("PUT", body=body), upstream)
        assert [error() for error in errors] == [None] * failures
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "wrong",
    [
        {"attempts": 1},
        {"on": []},
        {"on": ["conect"]},
        {"on": ["600"]},
        {"methods": ["post"]},
        {"methods": []},
        {"backoff": "1s", "max_backoff": "10ms"},
        {"budget": "120%"},
        {"budget": {"window": "0s"}},
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        build(Retry, **wrong)


async def test_it_holds_to_the_contract_of_filters() -> None:
    await check_filter(build(Retry, **AT_ONCE))
    await check_filter(build(Retry, **AT_ONCE), make=lambda: make_request("PUT", body=b"x"))
    await check_filter(build(Retry, max_body="1B", **AT_ONCE), make=lambda: make_request("POST"))


CONFIG = """\
listeners: [{{name: web, bind: "127.0.0.1:0"}}]
routes:
  - name: all
    match: {{path: "/*"}}
    filters: [{{retry: {options}}}]
    to: back
services:
  back: {{endpoints: [{endpoints}]}}
"""


async def get(url: str, times: int) -> Counter[int]:
    """Send so many requests over one connection; return how often each status came."""
    wire = await connect(int(url.rpartition(":")[2]))
    statuses: Counter[int] = Counter()
    for _ in range(times):
        await wire.send(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        statuses[(await wire.message()).status] += 1
    wire.close()
    return statuses


async def test_over_real_sockets_a_dead_endpoint_among_three_costs_no_request() -> None:
    served = 0

    async def script(wire: Wire) -> None:
        nonlocal served
        while True:
            await wire.message()
            served += 1
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with scripted_upstream(script) as one, scripted_upstream(script) as two:
        endpoints = ", ".join(f'"{url}"' for url in (one.url, f"http://127.0.0.1:{free_port()}", two.url))
        config = CONFIG.format(options="{budget: 40%, backoff: 0s, max_backoff: 0s}", endpoints=endpoints)
        async with gateway(config) as running:
            batches = await asyncio.gather(*(get(running.url, 200) for _ in range(10)))

    assert sum(batches, Counter()) == {200: 2000}
    assert served == 2000


async def test_over_real_sockets_a_service_that_always_fails_gets_no_more_than_its_budget() -> None:
    seen: Counter[str] = Counter()

    async def script(wire: Wire) -> None:
        while True:
            seen[(await wire.message()).headers["x-request-attempt"]] += 1
            await wire.send(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")

    async with scripted_upstream(script) as upstream:
        config = CONFIG.format(options="{attempts: 4, backoff: 0s, max_backoff: 0s}", endpoints=f'"{upstream.url}"')
        async with gateway(config) as running:
            batches = await asyncio.gather(*(get(running.url, 200) for _ in range(10)))

    assert sum(batches, Counter()) == {503: 2000}
    assert seen["1"] == 2000
    assert 2000 < sum(seen.values()) <= 1.2 * 2000


async def test_over_real_sockets_an_upload_that_broke_is_sent_again_whole() -> None:
    bodies: list[bytes] = []

    async def script(wire: Wire) -> None:
        if not bodies:
            head = await wire.head()
            assert head.headers["transfer-encoding"] == "chunked"
            bodies.append(await anext(wire.chunks()))
            wire.reset()
            return
        bodies.append((await wire.message()).body)
        await wire.send(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n")

    async def upload() -> AsyncIterator[bytes]:
        yield b"one "
        while not bodies:  # noqa: ASYNC110 - the upstream has no way to tell
            await asyncio.sleep(0.01)
        yield b"two "
        yield b"three"

    async with scripted_upstream(script) as upstream:
        config = CONFIG.format(options="{}", endpoints=f'"{upstream.url}"')
        async with gateway(config) as running, httpx.AsyncClient(base_url=running.url) as client:
            done = await client.put("/", content=upload())
            bodies.clear()
            refused = await client.post("/", content=upload())

    assert (done.status_code, refused.status_code) == (201, 502)
    assert refused.json()["code"] == "upstream_reset"


async def test_over_real_sockets_nothing_of_what_was_dropped_stays_open() -> None:
    async def script(wire: Wire) -> None:
        message = await wire.message()
        if message.headers["x-request-attempt"] == "1":
            await wire.send(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 5\r\n\r\nhel")
            assert await wire.ended()
        else:
            await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")

    async with scripted_upstream(script) as upstream:
        config = CONFIG.format(options="{backoff: 0s, max_backoff: 0s}", endpoints=f'"{upstream.url}"')
        async with gateway(config) as running:
            assert await get(running.url, 3) == {200: 3}
        assert len(upstream.wires) == 6
