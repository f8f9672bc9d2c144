from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiohttp import web
from pydantic import ValidationError

from meshwright_plugins.filters.circuit_breaker import CircuitBreaker
from meshwright_sdk import (
    CircuitOpenError,
    ConnectError,
    Context,
    Counter,
    DeadlineError,
    Gauge,
    Metrics,
    NoEndpointsError,
    OverloadError,
    PluginError,
    ProtocolError,
    Request,
    ResetError,
    Response,
    Tasks,
    Timeouts,
    UpstreamTimeoutError,
)
from meshwright_sdk.testing import FakeUpstream, ManualClock, build, check_filter, gateway, make_request
from meshwright_sdk.timeouts import DEADLINE, EXPIRED
from tests.e2e.gateway_process import eventually
from tests.ports import free_port


def breaker(clock: ManualClock | None = None, **options: Any) -> CircuitBreaker:
    options = {"consecutive_failures": 2, "trials": 1, "successes": 2, **options}
    return build(CircuitBreaker, clock=clock or ManualClock(), **options)


def answering(*statuses: int) -> FakeUpstream:
    return FakeUpstream(*(Response(status) for status in statuses))


async def ask(filter: CircuitBreaker, upstream: FakeUpstream, times: int = 1) -> list[object]:
    """Return what came of each request: a status, or the error."""
    came: list[object] = []
    for _ in range(times):
        try:
            came.append((await filter(make_request(), upstream)).status)
        except Exception as error:
            came.append(error)
    return came


def state_of(filter: CircuitBreaker) -> object:
    return filter.state()["state"]


async def test_it_holds_to_the_contract_of_filters() -> None:
    await check_filter(build(CircuitBreaker))


async def test_open_it_answers_at_once_and_asks_nobody() -> None:
    clock = ManualClock()
    filter, upstream = breaker(clock, open_for="10s"), answering(500)
    await ask(filter, upstream, 2)
    await clock.advance(2.5)

    (refusal,) = await ask(filter, upstream)

    assert isinstance(refusal, CircuitOpenError)
    assert (refusal.status, refusal.code, refusal.retryable, refusal.fault) == (503, "circuit_open", False, "upstream")
    assert refusal.headers["retry-after"] == "8"  # 7.5 s to the next trial, rounded up
    assert len(upstream.requests) == 2


async def test_it_recovers_by_trials() -> None:
    clock = ManualClock()
    filter = breaker(clock, open_for="10s")
    await ask(filter, answering(500), 2)
    await clock.advance(10.0)

    states = []
    for _ in range(2):
        await ask(filter, answering(200))
        states.append(state_of(filter))

    assert states == ["half_open", "closed"]


async def test_a_failed_trial_opens_it_again_and_for_longer() -> None:
    clock = ManualClock()
    filter = breaker(clock, open_for="10s", growth=2)
    await ask(filter, answering(500), 2)
    await clock.advance(10.0)

    await ask(filter, answering(500))
    (refusal,) = await ask(filter, answering(200))

    assert isinstance(refusal, CircuitOpenError)
    assert refusal.headers["retry-after"] == "20"


@pytest.mark.parametrize(
    "failure",
    [ConnectError("no"), ResetError("no"), ProtocolError("no"), UpstreamTimeoutError("no"), Response(503)],
    ids=repr,
)
async def test_what_the_upstream_is_to_blame_for_opens_it(failure: Response | Exception) -> None:
    filter = breaker()
    await ask(filter, FakeUpstream(failure), 2)

    assert state_of(filter) == "open"


@pytest.mark.parametrize(
    "no_failure",
    [
        OverloadError("no"),
        NoEndpointsError("no"),
        DeadlineError("no"),
        CircuitOpenError("no"),
        PluginError("no"),
        ValueError("no"),
        Response(404),
        Response(429),
    ],
    ids=repr,
)
async def test_what_the_upstream_is_not_to_blame_for_does_not(no_failure: Response | Exception) -> None:
    filter = breaker(failure_rate="1%", min_requests=1)
    await ask(filter, FakeUpstream(no_failure), 5)

    assert state_of(filter) == "closed"


async def test_which_statuses_are_failures_is_an_option() -> None:
    filter = breaker(statuses=[429, "503"])

    await ask(filter, answering(500), 5)
    before = state_of(filter)
    await ask(filter, answering(429, 503), 2)

    assert (before, state_of(filter)) == ("closed", "open")


async def test_slow_answers_open_it() -> None:
    clock = ManualClock()
    filter = breaker(clock, slow_after="1s", slow_rate="50%", min_requests=4)

    async def taking(seconds: float) -> None:
        async def answer(request: Request) -> Response:
            await clock.advance(seconds)
            return Response(200)

        await filter(make_request(), answer)

    for seconds in (0.999, 0.0, 1.0):
        await taking(seconds)
    before = state_of(filter)
    await taking(2.0)

    assert (before, filter.state()["reason"]) == ("closed", "2 of 4 calls were slow")


@asynccontextmanager
async def waiting(filter: CircuitBreaker) -> AsyncIterator[asyncio.Task[Response]]:
    """A request in the filter that gets no answer."""

    async def silence(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    tasks = Tasks()
    task = tasks.spawn(filter(make_request(), silence), name="a request")
    await asyncio.sleep(0)
    yield task
    await tasks.close()


async def test_a_client_that_leaves_is_no_failure() -> None:
    filter = breaker()
    for _ in range(5):
        async with waiting(filter):
            pass

    assert filter.state()["calls"] == 0


@pytest.mark.parametrize(("message", "state"), [(EXPIRED, "open"), (DEADLINE, "closed")])
async def test_a_timeout_around_it_is_a_failure_and_a_clients_own_deadline_is_not(message: str, state: str) -> None:
    clock = ManualClock()
    filter, timeouts = breaker(clock), Timeouts(clock)

    async def silence(request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def late() -> None:
        with timeouts.until(clock.monotonic() + 1.0, message):
            await filter(make_request(), silence)

    tasks = Tasks()
    for _ in range(2):
        request = tasks.spawn(late(), name="a request")
        await clock.advance(1.1)
        await request

    assert state_of(filter) == state


async def test_trials_are_limited() -> None:
    clock = ManualClock()
    filter = breaker(clock, trials=2)
    await ask(filter, answering(500), 2)
    await clock.advance(10.0)

    async with waiting(filter), waiting(filter):
        (refusal,) = await ask(filter, answering(200))

    assert isinstance(refusal, CircuitOpenError)
    assert refusal.headers["retry-after"] == "1"


@pytest.mark.parametrize("error", [None, OverloadError("no"), ValueError("no"), KeyboardInterrupt()], ids=repr)
async def test_a_trial_that_tells_nothing_gives_its_permit_back(error: BaseException | None) -> None:
    clock = ManualClock()
    filter = breaker(clock)
    await ask(filter, answering(500), 2)
    await clock.advance(10.0)

    for _ in range(3):
        if error is None:
            async with waiting(filter):
                pass
        else:
            with pytest.raises(type(error)):
                await filter(make_request(), FakeUpstream(error))

    assert (filter.state()["trials_running"], await ask(filter, answering(200))) == (0, [200])


async def test_a_trial_whose_response_is_dropped_has_given_its_permit_back() -> None:
    clock = ManualClock()
    filter = breaker(clock, successes=3)
    await ask(filter, answering(500), 2)
    await clock.advance(10.0)

    first = await filter(make_request(), answering(200))
    second = await filter(make_request(), answering(200))
    await first.aclose()
    await second.aclose()

    assert (filter.state()["trials_running"], filter.state()["trials_passed"]) == (0, 2)


async def test_it_can_be_forced() -> None:
    filter, upstream = breaker(), answering(200)

    filter.act("open", {})
    (refusal,) = await ask(filter, upstream)
    filter.act("closed", {})
    failures = await ask(filter, answering(500), 5)
    filter.act("auto", {})
    by_the_rules = await ask(filter, answering(500), 3)

    assert isinstance(refusal, CircuitOpenError)
    assert (failures, by_the_rules[:2]) == ([500] * 5, [500, 500])
    assert isinstance(by_the_rules[2], CircuitOpenError)


def test_arguments_that_it_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="arguments: expected none; got endpoint"):
        breaker().act("open", {"endpoint": "http://10.0.0.1:80"})


async def test_its_metrics_say_how_many_are_in_which_state_and_what_they_did() -> None:
    metrics, clock = Metrics(), ManualClock()

    def counts(name: str, label: str) -> dict[str, float]:
        counts = {}
        for labels, metric in metrics.families[f"meshwright_circuit_breaker_{name}"].metrics.items():
            assert isinstance(metric, Counter | Gauge)
            assert {"service": "orders", "route": ""}.items() <= dict(labels).items()
            counts[dict(labels).get(label, "")] = metric.value
        return counts

    context = Context(service="orders", metrics=metrics, clock=clock)
    filter, other = (build(CircuitBreaker, context=context, consecutive_failures=2, successes=1) for _ in range(2))
    await other.close()  # one that was never started
    await other.start()
    await filter.start()
    await ask(filter, answering(500), 3)
    while_open = counts("state", "state")
    await clock.advance(10.0)
    await ask(filter, answering(200))
    await other.close()

    assert while_open == {"closed": 1, "half_open": 0, "open": 1}
    assert counts("state", "state") == {"closed": 1, "half_open": 0, "open": 0}
    assert counts("transitions_total", "to") == {"closed": 1, "half_open": 1, "open": 1}
    assert counts("refused_total", "") == {"": 1}


async def test_who_opened_and_why_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    filter = build(CircuitBreaker, context=Context(route="orders"), consecutive_failures=1)
    await ask(filter, answering(500))

    assert caplog.messages == ["circuit breaker of route orders is open: failures in a row: 1"]


def test_one_without_any_rule_is_refused() -> None:
    with pytest.raises(ValidationError, match="one of consecutive_failures, failure_rate and slow_after"):
        breaker(consecutive_failures=None, failure_rate=None)


class Moody:
    """An upstream on a real socket that answers as its mood is."""

    def __init__(self) -> None:
        self.status = 200
        self.delay_s = 0.0
        self.requests = 0
        self.port = free_port()
        self._runner: web.AppRunner | None = None

    async def answer(self, request: web.Request) -> web.Response:
        self.requests += 1
        await asyncio.sleep(self.delay_s)
        return web.Response(status=self.status)

    async def live(self) -> None:
        application = web.Application()
        application.router.add_get("/{path:.*}", self.answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def die(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()


@pytest.fixture
async def moody() -> AsyncIterator[Moody]:
    moody = Moody()
    await moody.live()
    yield moody
    await moody.die()


CONFIG = """
listeners: [{{name: web, bind: "127.0.0.1:0"}}]
routes:
  - {{name: hurried, match: {{path: /hurried}}, filters: [timeout: {{after: 200ms}}], to: back}}
  - {{name: all, match: {{path: "/*"}}, to: back}}
services:
  back:
    endpoints: ["http://127.0.0.1:{port}"]
    filters:
      - circuit_breaker: {{consecutive_failures: 3, slow_after: {slow}, min_requests: 4, open_for: 1s, successes: 2}}
"""


@pytest.mark.parametrize("mood", ["failing", "slow", "hanging", "dead"])
async def test_over_real_sockets_it_opens_spares_the_upstream_and_recovers(moody: Moody, mood: str) -> None:
    async def well() -> None:
        moody.status, moody.delay_s = 200, 0.0
        if mood == "dead":
            await moody.live()

    async def ill() -> None:
        moody.status = 500 if mood == "failing" else 200
        moody.delay_s = {"slow": 0.25, "hanging": 60.0}.get(mood, 0.0)
        if mood == "dead":
            await moody.die()

    async def serves() -> bool:
        return (await client.get("/")).status_code == 200

    path, loop = "/hurried" if mood == "hanging" else "/", asyncio.get_running_loop()
    config = CONFIG.format(port=moody.port, slow="200ms" if mood == "slow" else "1m")
    async with gateway(config) as running, httpx.AsyncClient(base_url=running.url) as client:
        assert await serves()
        await ill()
        answers = [await client.get(path) for _ in range(2)]
        open_until = loop.time() + 1.0
        answers.append(await client.get(path))
        before, refused, spared = moody.requests, list[httpx.Response](), True
        for _ in range(5):
            answer, asked = await client.get("/hurried"), moody.requests
            if loop.time() < open_until:
                refused.append(answer)
                spared = spared and asked == before
        await well()
        await eventually(serves)
        again = [(await client.get("/")).status_code for _ in range(10)]

    assert {answer.status_code for answer in answers} == {
        {"failing": 500, "slow": 200, "hanging": 504, "dead": 502}[mood]
    }
    for answer in refused:
        assert (answer.status_code, answer.json()["code"]) == (503, "circuit_open")
        assert answer.headers["retry-after"] == "1"
    assert spared
    assert again == [200] * 10


BEHIND = """
listeners: [{{name: web, bind: "127.0.0.1:0"}}]
routes:
  - name: all
    filters:
      - fallback: {{respond: {{text: "instead"}}}}
      - retry: {{attempts: 3, on: ["500"], backoff: 1ms}}
    to: back
services:
  back:
    endpoints: ["http://127.0.0.1:{port}"]
    filters:
      - circuit_breaker: {{consecutive_failures: 3, open_for: 1m}}
"""


async def test_open_it_is_not_tried_again_and_a_fallback_answers_in_its_place(moody: Moody) -> None:
    moody.status = 500
    async with gateway(BEHIND.format(port=moody.port)) as running, httpx.AsyncClient(base_url=running.url) as client:
        answers = [await client.get("/") for _ in range(10)]

    assert moody.requests == 3  # the attempts of the first request
    assert answers[0].status_code == 500
    assert {(answer.status_code, answer.text) for answer in answers[1:]} == {(200, "instead")}
    assert {answer.headers["x-degraded"] for answer in answers[1:]} == {"open"}
