"""`FakeService`: the service of a policy or balancer for its tests; endpoints and answers, but no socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager

from meshwright_sdk.attempt import Attempt, AttemptObserver
from meshwright_sdk.balancing import AnyBalancer, Balancer, Endpoint
from meshwright_sdk.clock import Clock, SystemClock
from meshwright_sdk.endpoint_group import EndpointGroup
from meshwright_sdk.policy import AnyPolicy, EndpointPolicy
from meshwright_sdk.request import Request
from meshwright_sdk.response import Response
from meshwright_sdk.testing.messages import make_endpoint, make_request

Outcome = int | Response | BaseException
"""What comes of an attempt or a probe: a status, a response, or what is raised."""


class FakeService:
    """Stands for a service: its endpoints are in `group`, and attempts at them are played by hand.

    `endpoints` are endpoints, URLs, or how many there shall be. Probes are kept in `probes`, each with its endpoint
    and its request, which is None where only a connection was asked for; `probing` counts those under way. They are
    answered as `answer` says, with 200 otherwise, and what they were given is in `given`.
    """

    def __init__(
        self,
        endpoints: int | Iterable[Endpoint | str] = 0,
        *,
        clock: Clock | None = None,
        panic_threshold: float = 0.5,
        name: str = "test",
    ) -> None:
        self.name = name
        self.group = _StrictGroup(panic_threshold=panic_threshold)
        self.probes: list[tuple[Endpoint, Request | None]] = []
        self.given: list[Response] = []
        self.probing = 0
        self._now = (clock or SystemClock()).monotonic
        self._observers: list[AttemptObserver] = []
        self._answers: dict[Endpoint, list[Outcome | None]] = {}
        numbers = range(endpoints) if isinstance(endpoints, int) else ()
        self.add(*(endpoints if not isinstance(endpoints, int) else map(_url, numbers)))

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint there is, ejected or not."""
        return self.group.all

    @asynccontextmanager
    async def running(self, *plugins: AnyPolicy | AnyBalancer) -> AsyncIterator[FakeService]:
        """Attach, start and warm up policies and balancers, tell them of the endpoints, and close them in the end."""
        async with AsyncExitStack() as stack:
            for plugin in plugins:
                if isinstance(plugin, EndpointPolicy):
                    plugin.attach(self)
                stack.push_async_callback(plugin.context.tasks.close)
                stack.push_async_callback(plugin.close)
                await plugin.start()
            self._observers = list(plugins)
            with self.group.at_once():
                for endpoint in self.endpoints:
                    self._added(endpoint)
            for plugin in plugins:
                if isinstance(plugin, Balancer) and self.group.usable:
                    await plugin.warm_up(self.group.usable)
            yield self
            self._observers = []

    def add(self, *endpoints: Endpoint | str) -> None:
        """Have discovery report more endpoints."""
        new = [make_endpoint(each) if isinstance(each, str) else each for each in endpoints]
        with self.group.at_once():
            self.group.replace((*self.endpoints, *new))
            for endpoint in new:
                self._added(endpoint)

    def remove(self, *endpoints: Endpoint) -> None:
        """Have discovery report that endpoints have gone."""
        with self.group.at_once():
            self.group.replace([each for each in self.endpoints if each not in endpoints])
            for endpoint in endpoints:
                self._answers.pop(endpoint, None)
                for observer in self._observers:
                    observer.removed(endpoint)

    def _added(self, endpoint: Endpoint) -> None:
        for observer in self._observers:
            observer.added(endpoint)

    def begin(self, endpoint: Endpoint, request: Request | None = None) -> Attempt:
        """Begin an attempt; `end` is to follow."""
        attempt = Attempt(endpoint, request or make_request(), self._now())
        endpoint.in_flight += 1
        endpoint.requests += 1
        for observer in self._observers:
            observer.began(attempt)
        return attempt

    def end(self, attempt: Attempt, outcome: Outcome = 200, *, seconds: float | None = None) -> None:
        """End an attempt, after the time that has gone by on the clock unless `seconds` says another."""
        attempt.endpoint.in_flight -= 1
        attempt.seconds = self._now() - attempt.began if seconds is None else seconds
        if isinstance(outcome, BaseException):
            attempt.error = outcome
        else:
            attempt.response = _response(outcome)
        for observer in self._observers:
            observer.ended(attempt)

    def play(self, endpoint: Endpoint, *outcomes: Outcome, seconds: float = 0.0) -> None:
        """Play attempts at an endpoint one after the other, each of which took so long; one with 200 by default."""
        for outcome in outcomes or (200,):
            self.end(self.begin(endpoint), outcome, seconds=seconds)

    def answer(self, endpoint: Endpoint, *outcomes: Outcome | None) -> None:
        """Have an endpoint answer probes so in turn, from now on; the last is repeated, and None never answers.

        A connection is made unless the outcome is an exception or None.
        """
        self._answers[endpoint] = list(outcomes)

    async def probe(self, endpoint: Endpoint, request: Request) -> Response:
        """Give the endpoint's next answer."""
        self.probes.append((endpoint, request))
        response = _response(await self._outcome(endpoint))
        response.endpoint = endpoint
        self.given.append(response)
        return response

    async def probe_connection(self, endpoint: Endpoint) -> None:
        """Return, or raise, as the endpoint's next answer says."""
        self.probes.append((endpoint, None))
        await self._outcome(endpoint)

    async def _outcome(self, endpoint: Endpoint) -> int | Response:
        answers = self._answers.get(endpoint) or [200]
        outcome = answers.pop(0) if len(answers) > 1 else answers[0]
        self.probing += 1
        try:
            await (asyncio.sleep(0) if outcome is not None else asyncio.Event().wait())
        finally:
            self.probing -= 1
        if isinstance(outcome, BaseException):
            raise outcome.with_traceback(None)  # it may be given again, and would keep what it was raised through
        assert outcome is not None
        return outcome


class _StrictGroup(EndpointGroup):
    """Lets what a callback raises through to the test."""

    __slots__ = ()

    def _tell(self, endpoint: Endpoint) -> None:
        for callback in self._watchers:
            callback(endpoint)


def _url(number: int) -> str:
    return f"http://10.0.{number // 250}.{number % 250 + 1}:8000"


def _response(outcome: int | Response) -> Response:
    return Response(outcome) if isinstance(outcome, int) else outcome
