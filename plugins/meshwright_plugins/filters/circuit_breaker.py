"""`circuit_breaker`: a service that fails is left alone for a while. Taking out single endpoints goes elsewhere."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections.abc import Mapping
from math import ceil, inf
from typing import Any, ClassVar

from meshwright_sdk import (
    Breaker,
    BreakerMetrics,
    BreakerOptions,
    CallNext,
    CircuitOpenError,
    Context,
    DeadlineError,
    Filter,
    NoEndpointsError,
    OverloadError,
    Request,
    Response,
    UpstreamError,
    every_status,
)
from meshwright_sdk.timeouts import EXPIRED

logger = logging.getLogger("meshwright.circuit_breaker")

_NOT_ITS_FAULT = (CircuitOpenError, DeadlineError, NoEndpointsError, OverloadError)


class CircuitBreakerOptions(BreakerOptions):
    """When it opens, for how long, and what closes it again."""


class CircuitBreaker(Filter[CircuitBreakerOptions]):
    """Leave a service alone while it fails, and answer 503 at once in its place.

    Closed, all requests go through and are judged. After too many failures, or slow answers, it opens: each request is
    answered at once with 503, code `circuit_open` and `retry-after`; a `fallback` further out may answer in its place,
    a `retry` does not try again. After `open_for` it is half open: a few requests at a time try the service, the
    others are refused. Good answers close it, and one that is not opens it again.

    Under `services.NAME.filters` it is for the service, whatever routes lead there; under a route it is for this route
    alone, and under the filters of every route there is one for all of them.

    A failure is a status of `statuses`, a connection that cannot be made or that breaks, an answer that is none, and
    none within a `timeout`, inside or outside. Not judged are requests whose client has gone, whose own deadline has
    passed, that found no endpoint or a bound of the gateway reached, and what a filter between it and the service
    raised. Each is judged when the answer begins: a body that breaks off later does not count.

    `retry` and `hedge` belong outside: around them it would see one failure where three requests failed, and its
    refusal could not spare the service any. `fallback`, `cache`, `rate_limit` and `quota` belong outside too, for what
    they answer is not the service's.

    Each worker has a breaker of its own that sees its share of the traffic: with N workers the service gets up to N
    times the `trials`, and each worker has to see `min_requests` itself. A change of its options starts it anew,
    closed; so does a restart.

    The admin API shows its state, and forces it `open`, `closed`, or lets it go by the rules again (`auto`), in all
    workers. Metrics: `meshwright_circuit_breaker_state` (how many workers' breakers are in each `state`),
    `meshwright_circuit_breaker_transitions_total` (by the state they went `to`) and
    `meshwright_circuit_breaker_refused_total`, with the labels `service` and `route`.

    Example:
        filters:
          - circuit_breaker: {failure_rate: 30%, slow_after: 2s, open_for: 5s, growth: 2}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "retry": "the breaker sees one request where several are made, and only what the last of them came to",
        "hedge": "the breaker sees one request where two are made, and only the better of them",
        "fallback": "its answers count as the service's, and it has none to give while the breaker is open",
        "cache": "its answers count as the service's, and it has none to give while the breaker is open",
        "rate_limit": "its refusals count as good answers of the service",
        "quota": "its refusals count as good answers of the service",
    }
    actions: ClassVar[Mapping[str, str]] = {
        "open": "Refuse every request from now on.",
        "closed": "Let every request through from now on, whatever becomes of it.",
        "auto": "Go by the rules again, closed at first and without memory.",
    }

    def __init__(self, options: CircuitBreakerOptions, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.clock.monotonic
        self._statuses = every_status(options.statuses)
        self._slow_after = inf if options.slow_after is None else float(options.slow_after)
        self._breaker = Breaker(options.rules(), self._now(), self._moved)
        labels = context.labels
        self._metrics = BreakerMetrics(context.metrics, "meshwright_circuit_breaker", "Circuit breakers", **labels)
        self._refused = context.metrics.counter(
            "meshwright_circuit_breaker_refused_total", "Requests that an open circuit breaker refused.", None, **labels
        )
        self._shown = False

    async def start(self) -> None:
        self._metrics.joined(self._breaker.state)
        self._shown = True

    async def close(self) -> None:
        if self._shown:
            self._metrics.left(self._breaker.state)
            self._shown = False

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        breaker = self._breaker
        began = self._now()
        permit = breaker.permit or self._take(began)
        try:
            response = await call_next(request)
        except BaseException as error:
            self._raised(permit, error, began)
            raise
        now = self._now()
        if response.status in self._statuses:
            breaker.failed(permit, now, slow=now - began >= self._slow_after)
        elif now - began >= self._slow_after:
            breaker.slow(permit, now)
        else:
            breaker.succeeded(permit, now)
        return response

    def state(self) -> Mapping[str, Any]:
        return self._breaker.describe(self._now())

    def act(self, action: str, arguments: Mapping[str, str]) -> None:
        if arguments:
            raise ValueError(f"arguments: expected none; got {', '.join(sorted(arguments))}")
        self._breaker.force(None if action == "auto" else action, self._now())

    def _take(self, now: float) -> int:
        """Return a permit for a trial, or refuse the request."""
        permit = self._breaker.take(now)
        if not permit:
            self._refused.value += 1
            wait_s = max(1, ceil(self._breaker.wait_s(now)))
            raise CircuitOpenError(
                f"{self.context.owner}: its circuit breaker is open", headers={"retry-after": str(wait_s)}
            )
        return permit

    def _raised(self, permit: int, error: BaseException, began: float) -> None:
        """Judge a request that got no answer, or give its permit back."""
        if _blames_upstream(error):
            now = self._now()
            self._breaker.failed(permit, now, slow=now - began >= self._slow_after)
        else:
            self._breaker.unjudged(permit)

    def _moved(self, before: str) -> None:
        breaker = self._breaker
        if self._shown:
            self._metrics.moved(before, breaker.state)
        logger.warning(
            "circuit breaker of %s is %s: %s", self.context.owner, breaker.state.replace("_", " "), breaker.reason
        )


def _blames_upstream(error: BaseException) -> bool:
    if isinstance(error, CancelledError):
        return error.args == (EXPIRED,)
    return isinstance(error, UpstreamError) and not isinstance(error, _NOT_ITS_FAULT)
