"""`endpoint_breaker`: a circuit breaker for each endpoint. Breaking a whole service, and statistics, go elsewhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from math import inf
from typing import Any, ClassVar

from pydantic import Field, PositiveInt

from meshwright_sdk import (
    Attempt,
    Breaker,
    BreakerMetrics,
    BreakerOptions,
    Context,
    Endpoint,
    EndpointPolicy,
    every_status,
)

logger = logging.getLogger("meshwright.endpoint_breaker")


class EndpointBreakerOptions(BreakerOptions):
    """When an endpoint's breaker opens, for how long, and what closes it again."""

    consecutive_failures: PositiveInt | None = Field(
        5, description="Failures in a row that open it; null for no such rule."
    )


class EndpointBreaker(EndpointPolicy[EndpointBreakerOptions]):
    """Take an endpoint out while it fails, and try it with a few requests before it is back.

    Each endpoint has a breaker. It opens after too many failures, or slow answers, and the endpoint gets no requests
    any more: the others take them. After `open_for` it is half open and the endpoint is put back, but for no more than
    `trials` requests at a time: while they run it is out again. Good answers close the breaker, and one that is not
    opens it again. A trial that fails is a request of somebody's; a `retry` sends it to another endpoint.

    A failure is a status of `statuses`, a connection that cannot be made or that breaks, an answer that is none, and
    none in time; attempts that somebody gave up, such as the loser of a `hedge`, are not judged. An answer is judged
    when it begins: a body that breaks off later does not count.

    When fewer endpoints are left than the service's `panic_threshold`, or none, all are used, as if there were no
    breaker: a service whose every endpoint fails, or whose only one does, wants the filter `circuit_breaker`.

    An endpoint that is new starts closed, also one that has gone and comes again under the same URL, unless it was
    forced by hand; one whose weight, zone or labels change keeps its breaker. Each worker has breakers of its own,
    which see its share of the traffic: with N workers an endpoint that is half open gets up to N times the `trials`,
    and in each worker it has to fail for itself. A change of the service's policies starts them anew, closed.

    The admin API shows each breaker, and forces the one of an `endpoint`, given by its URL, `open`, `closed`, or lets
    it go by the rules again (`auto`), in all workers. Metrics: `meshwright_endpoint_breaker_state` (how many breakers,
    of all workers, are in each `state`) and `meshwright_endpoint_breaker_transitions_total` (by the state they went
    `to`), with the label `service`.

    Example:
        policies:
          - endpoint_breaker: {consecutive_failures: 5, failure_rate: 50%, open_for: 10s, growth: 2}
    """

    actions: ClassVar[Mapping[str, str]] = {
        "open": "Send an endpoint no requests from now on; its URL is the argument endpoint.",
        "closed": "Send an endpoint requests from now on, whatever becomes of them; its URL is the argument endpoint.",
        "auto": "Go by the rules again, closed at first and without memory; its URL is the argument endpoint.",
    }

    def __init__(self, options: EndpointBreakerOptions, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.clock.monotonic
        self._rules = options.rules()
        self._statuses = every_status(options.statuses)
        self._slow_after = inf if options.slow_after is None else float(options.slow_after)
        self._watched: dict[Endpoint, _Watched] = {}
        self._unwell: set[_Watched] = set()
        self._waker: asyncio.Task[None] | None = None
        self._by_hand: dict[str, str] = {}
        self._metrics = BreakerMetrics(
            context.metrics, "meshwright_endpoint_breaker", "Breakers of endpoints", service=context.service or ""
        )

    async def close(self) -> None:
        for endpoint in tuple(self._watched):
            self.removed(endpoint)

    def added(self, endpoint: Endpoint) -> None:
        watched = self._watched[endpoint] = _Watched(endpoint)
        watched.breaker = Breaker(self._rules, self._now(), partial(self._moved, watched))
        self._metrics.joined(watched.breaker.state)
        if endpoint.url in self._by_hand:
            self._force(watched, self._by_hand[endpoint.url])

    def removed(self, endpoint: Endpoint) -> None:
        watched = self._watched.pop(endpoint)
        self._unwell.discard(watched)
        self._metrics.left(watched.breaker.state)

    def began(self, attempt: Attempt) -> None:
        if self._unwell:
            self._try(attempt)

    def ended(self, attempt: Attempt) -> None:
        watched = self._watched.get(attempt.endpoint)
        if watched is None:
            return
        breaker = watched.breaker
        permit = breaker.permit if attempt.began >= breaker.since else 0
        if permit or (permit := watched.trials.pop(attempt, 0)):
            self._judge(breaker, permit, attempt)
            if not breaker.permit:
                self._show(watched)

    def state(self) -> Mapping[str, Any]:
        now = self._now()
        return {
            "endpoints": {endpoint.url: watched.breaker.describe(now) for endpoint, watched in self._watched.items()}
        }

    def act(self, action: str, arguments: Mapping[str, str]) -> None:
        if set(arguments) != {"endpoint"}:
            raise ValueError(f"expected the argument endpoint; got {', '.join(arguments) or 'none'}")
        found = [each for endpoint, each in self._watched.items() if endpoint.url == arguments["endpoint"]]
        if not found:
            raise ValueError(f"endpoint: expected the URL of one of the service's; got {arguments['endpoint']!r}")
        if action == "auto":
            self._by_hand.pop(arguments["endpoint"], None)
        else:
            self._by_hand[arguments["endpoint"]] = action
        for watched in found:
            self._force(watched, None if action == "auto" else action)

    def _force(self, watched: _Watched, state: str | None) -> None:
        watched.breaker.force(state, self._now())
        self._show(watched)

    def _try(self, attempt: Attempt) -> None:
        """Take note of a trial; as soon as there are enough, no more requests go to the endpoint."""
        watched = self._watched.get(attempt.endpoint)
        if watched is None or watched.breaker.permit or not watched.breaker.admits:
            return
        watched.trials[attempt] = watched.breaker.take(attempt.began)
        self._show(watched)

    def _judge(self, breaker: Breaker, permit: int, attempt: Attempt) -> None:
        seconds, response = attempt.seconds, attempt.response
        now = attempt.began + seconds
        if response is None:
            if attempt.failed:
                breaker.failed(permit, now, slow=seconds >= self._slow_after)
            else:
                breaker.unjudged(permit)
        elif response.status in self._statuses:
            breaker.failed(permit, now, slow=seconds >= self._slow_after)
        elif seconds >= self._slow_after:
            breaker.slow(permit, now)
        else:
            breaker.succeeded(permit, now)

    def _show(self, watched: _Watched) -> None:
        """Have the endpoint in or out, as its breaker has it."""
        breaker, group = watched.breaker, self.service.group
        if breaker.admits:
            group.restore(watched.endpoint, self.name)
        elif breaker.state == "half_open":
            group.eject(watched.endpoint, self.name, f"half open, and {breaker.running} trials run")
        else:
            group.eject(watched.endpoint, self.name, f"open: {breaker.reason}")

    def _moved(self, watched: _Watched, before: str) -> None:
        breaker = watched.breaker
        watched.trials.clear()
        self._metrics.moved(before, breaker.state)
        if breaker.permit:
            self._unwell.discard(watched)
        else:
            self._unwell.add(watched)
        self._show(watched)
        logger.warning(
            "service %s: the breaker of %s is %s: %s",
            self.service.name,
            watched.endpoint.url,
            breaker.state.replace("_", " "),
            breaker.reason,
        )
        if breaker.state == "open" and (self._waker is None or self._waker.done()):
            self._waker = self.context.tasks.spawn(self._wake(), name=f"breakers of {self.service.name}")

    async def _wake(self) -> None:
        """Half-open each breaker whose time has come, until none is open."""
        while (wait_s := self._next_s()) < inf:
            await self.context.clock.sleep(wait_s)
            self._look()

    def _next_s(self) -> float:
        """Return the seconds until a breaker may be half open; one that opens meanwhile takes no less than that."""
        now = self._now()
        due = min((each.breaker.until for each in self._unwell if each.breaker.state == "open"), default=inf)
        return due if due == inf else max(0.0, min(due - now, self._rules.open_s))

    def _look(self) -> None:
        now = self._now()
        for watched in tuple(self._unwell):
            watched.breaker.look(now)


class _Watched:
    """An endpoint with its breaker, and the attempts that are its trials, each with its permit."""

    __slots__ = ("breaker", "endpoint", "trials")

    breaker: Breaker

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.trials: dict[Attempt, int] = {}
