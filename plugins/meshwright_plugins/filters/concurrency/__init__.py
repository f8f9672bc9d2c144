"""`concurrency`: so many requests in flight at once, and a line of who waits. Rates over time go elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from math import ceil
from typing import Any, ClassVar

from meshwright_plugins.filters.concurrency.gradient_limit import GradientLimit
from meshwright_plugins.filters.concurrency.options import AdaptiveOptions, ConcurrencyOptions
from meshwright_plugins.filters.concurrency.waiting_line import WaitingLine
from meshwright_sdk import CallNext, Context, Filter, OverloadError, Request, Response, UpstreamTimeoutError

__all__ = ["AdaptiveOptions", "Concurrency", "ConcurrencyOptions"]

REASONS = ("full", "evicted", "expired")


class Waiter:
    """A request that waits until `ends`; `outcome` is why it is refused, or empty for a permit."""

    __slots__ = ("ends", "outcome")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def tell(self, outcome: str) -> bool:
        """End the wait; return whether anybody still waits, for a client may have left in this turn of the loop."""
        if self.outcome.done():
            return False
        self.outcome.set_result(outcome)
        return True


class Concurrency(Filter[ConcurrencyOptions]):
    """Let so many requests be in flight at once; more wait a while, and then get 503.

    A request holds its permit until the body of its response has ended. Those that wait are served by priority (see
    `priority`), and within one in the order in which they came. When the line is full, the last of the lowest priority
    makes room for a request of a higher one. A refusal is an error with the code `concurrency_limited` and
    `retry-after`, which `fallback` can catch; it is never retried.

    With `adaptive` the limit is found out, as Envoy and Netflix do it. At the end of each `window`, with the median of
    its latencies (until the head of the answer): `gradient = usual * tolerance / median`, from 1/4 to 1, and the limit
    goes `smoothing` of the way to `limit * gradient + sqrt(limit)`. So it grows by its square root while nothing gets
    slower, falls within a second when the service does, and settles at about `tolerance` times what the service can do
    at once. It changes only while half of it is in use. `usual` is the latency without a queue: measured every
    `probe_every` with a quarter of the limit, and at most doubled by each of these probes, so that a service that
    stays slow gets its limit back in minutes, and one that recovers in seconds. Failures count when they were slow.
    When no answer comes at all, the time without one is taken for the latency.

    It cannot tell a service that gets slower from one that is asked for other things: where cheap requests of 1 ms give
    way to dear ones of 300 ms, most of these are refused for the minutes until that is usual, however idle the service
    is. Where requests differ so much, let `min_limit` be what it bears in any case, or make two services of it.

    Put it into a service's `filters`, so that all routes share the limit and each attempt of a retry takes a permit
    of its own. Each worker has its own limit.

    Metrics: `meshwright_concurrency_limit`, `meshwright_concurrency_in_flight`, `meshwright_concurrency_waiting` and
    `meshwright_concurrency_refused_total` (by `reason`: `full`, `evicted` or `expired`), with the labels
    `service` and `route`.

    Example:
        filters:
          - concurrency: {limit: 100, max_waiting: 50, max_wait: 500ms}
          - concurrency: {adaptive: {max_limit: 500}}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "circuit_breaker": "requests that it refuses would have waited for a permit first",
        "cache": "an answer from the cache needs no permit, but would take one",
        "fallback": "it cannot catch a refusal that comes from further out",
        "hedge": "both attempts would share one permit, so that twice the limit reaches the service",
        "overload": "requests that it sheds would have waited for a permit first",
        "quota": "requests that it refuses would have waited for a permit first",
        "priority": "requests would wait without the priority that they are given later",
        "rate_limit": "requests that it refuses would have waited for a permit first",
        "retry": "one permit would be held for all attempts, and for the pauses between them",
    }

    def __init__(self, options: ConcurrencyOptions, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.clock.monotonic
        self._in_flight = 0
        self._limit = options.limit or 0
        self._gradient: GradientLimit | None = None
        if options.adaptive is not None:
            self._gradient = GradientLimit(options.adaptive.settings(), self._now(), context.random)
            self._limit = self._gradient.limit
        self._line: WaitingLine[Waiter] = WaitingLine(options.max_waiting)
        self._expiring = False
        self._retry_after = {"retry-after": str(ceil(options.retry_after))}
        self._declare()

    def _declare(self) -> None:
        metrics, labels = self.context.metrics, self.context.labels
        for name, help, read in (
            ("limit", "Requests that may be in flight at once.", lambda: self._limit),
            ("in_flight", "Requests that hold a permit.", lambda: self._in_flight),
            ("waiting", "Requests that wait for a permit.", lambda: len(self._line)),
        ):
            metrics.gauge(f"meshwright_concurrency_{name}", help, read, **labels)
        help = "Requests refused: the line was full, they had to make room, or their wait was over."
        name = "meshwright_concurrency_refused_total"
        self._refused = metrics.counters(name, help, "reason", REASONS, **labels)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        if self._in_flight < self._limit:
            self._in_flight += 1
        else:
            await self._wait(request)
        gradient = self._gradient
        began = self._now() if gradient is not None else 0.0
        try:
            response = await call_next(request)
            if gradient is not None:
                self._measure(gradient, began, failed=response.status >= 500)
        except BaseException as error:
            if gradient is not None and isinstance(error, UpstreamTimeoutError | asyncio.CancelledError):
                self._measure(gradient, began, failed=True)
            self._leave(error)
            raise
        response.on_close(self._leave)
        return response

    def state(self) -> Mapping[str, Any]:
        """Return the limit and how much of it is taken."""
        gradient = self._gradient
        found: dict[str, Any] = {"limit": self._limit, "in_flight": self._in_flight, "waiting": len(self._line)}
        if gradient is None:
            return found
        return {**found, "usual_latency_s": gradient.usual_s, "probing": gradient.probing}

    def _measure(self, gradient: GradientLimit, began: float, *, failed: bool) -> None:
        (gradient.failed if failed else gradient.answered)(began, self._now(), self._in_flight)
        if gradient.limit != self._limit:
            self._limit = gradient.limit
            self._admit()

    def _leave(self, error: BaseException | None) -> None:
        """Give the permit back."""
        self._in_flight -= 1
        if self._line:
            self._admit()

    def _admit(self) -> None:
        """Let in who waits, as long as there is room."""
        while self._in_flight < self._limit and (waiter := self._line.pop()) is not None:
            if waiter.tell(""):
                self._in_flight += 1

    async def _wait(self, request: Request) -> None:
        """Return with a permit, or raise OverloadError."""
        if self._gradient is not None and self._gradient.stalled(self._now(), self._in_flight):
            self._limit = self._gradient.limit
        waiter = Waiter(self._now() + self.options.max_wait)
        loser = self._line.push(waiter, request.priority)
        if loser is waiter:
            raise self._refusal("full")
        if loser is not None:
            loser.tell("evicted")
        self._admit()
        self._watch_ends()
        try:
            reason = await waiter.outcome
        except asyncio.CancelledError:
            self._line.remove(waiter)
            if not waiter.outcome.cancelled() and not waiter.outcome.result():
                self._leave(None)  # the permit had been given in the same turn of the loop
            raise
        if reason:
            raise self._refusal(reason)

    def _refusal(self, reason: str) -> OverloadError:
        self._refused[reason].value += 1
        detail = f"{self.context.owner}: {self._limit} requests are in flight, and no more may wait"
        return OverloadError(detail, code="concurrency_limited", headers=self._retry_after)

    def _watch_ends(self) -> None:
        """One task for all who wait, and none when nobody does."""
        if not self._expiring:
            self._expiring = True
            self.context.tasks.spawn(self._expire(), name=f"waits of {self.context.place}")

    async def _expire(self) -> None:
        try:
            while self._line:
                await self.context.clock.sleep(min(head.ends for head in self._line.heads()) - self._now())
                self._refuse_late()
        finally:
            self._expiring = False

    def _refuse_late(self) -> None:
        now = self._now()
        while late := [head for head in self._line.heads() if head.ends <= now]:
            for waiter in late:
                self._line.remove(waiter)
                waiter.tell("expired")
