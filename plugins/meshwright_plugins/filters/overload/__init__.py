"""`overload`: refuse what a process can no longer serve, the least important first. Limits of services go elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from math import ceil
from time import thread_time
from typing import Any, ClassVar

from pydantic import Field, NonNegativeInt, PositiveInt

from meshwright_plugins.filters.overload.admission import ALL, LEVELS, Admission
from meshwright_plugins.filters.overload.holding import Holding
from meshwright_plugins.filters.overload.memory import cgroup_limit_bytes, resident_bytes
from meshwright_sdk import (
    Body,
    CallNext,
    Context,
    Duration,
    Filter,
    Headers,
    Options,
    Percent,
    Request,
    Response,
    Size,
    problem,
)
from meshwright_sdk.errors import OverloadError
from meshwright_sdk.pulse import BEAT_S

logger = logging.getLogger("meshwright.overload")

TURN_S = 0.1
CALM_S = 5.0
"""How long nothing may be refused before the log says so."""


class OverloadOptions(Options):
    """What counts as too much, and what happens to what is refused."""

    max_lag: Duration = Field(
        Duration("20ms"),
        description="How long a turn of the event loop, and with it a request's wait, may usually be, before "
        "requests are refused.",
    )
    max_in_flight: PositiveInt | None = Field(
        None,
        description="Requests in flight at once in each worker; priority 9 may use all of them, each priority below "
        "5 percent less than the one above it.",
    )
    memory_limit: Size | None = Field(
        None, description="What a worker may hold in RAM; by default the limit of the container, where there is one."
    )
    max_memory: Percent = Field(
        Percent("85%"),
        description="The share of the memory limit from which on requests are refused: more and more of them, and "
        "all but a few at the limit.",
    )
    hold: Duration = Field(
        Duration("500ms"),
        description="How long refusals are held back, give or take a half, where there are more than 2,500 in a "
        "second. The client's connection waits so long and cannot bring the next request. 0s to refuse at once.",
    )
    max_held: NonNegativeInt = Field(
        10_000, description="Refusals held back at once in each worker; those above it are given at once."
    )
    retry_after: Duration = Field(
        Duration("1s"), description="What a refused client is told to wait, in whole seconds, rounded up."
    )


class Overload(Filter[OverloadOptions]):
    """Refuse requests before the process drowns, those of the lowest priority first.

    Ten times a second it looks how long a turn of the event loop takes, which is about how long requests wait to be
    handled, and turns the rate of requests that it lets in until the lag is `max_lag`: by up to 10 percent down or 5
    percent up in 100 ms. It goes up by no more than half of the share of the time in which the process was idle, for
    more is not there. It goes down only while the lag gets no shorter by itself, and to no less than 70 to 100 percent
    of what was served in the last second, the less the longer the lag. The highest priorities fill this rate first;
    within the one where it ends, requests pass by chance. At least 2 percent pass, or nothing would tell when it is
    better. Memory near its limit and too many requests in flight have the same effect. The answer is 503, code
    `overloaded`, with `retry-after`; no filter inside of it runs.

    A refusal costs this process about two thirds of what a small proxied request does: reading it and writing the
    answer. Clients that come again at once could make so many of them that nothing else is done. So when there are
    more than 2,500 in a second, refusals are held back for a while (`hold`): clients that keep their connections come
    less often then. To hold one back costs half as much again, which is why fewer are given at once.

    Put it outside of everything but `request_id` and `priority`, on every route.

    Metrics: `meshwright_overload_refused_total` (by `priority`), `meshwright_overload_held` (refusals held back now)
    and `meshwright_overload_border` (the priority below which everything is refused, -1 for none), with the labels
    `service` and `route`.

    Example:
        filters:
          - overload: {max_lag: 20ms, max_in_flight: 5000}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "priority": "requests would be refused before their priority is known",
    }

    def __init__(self, options: OverloadOptions, context: Context) -> None:
        super().__init__(options, context)
        if not options.max_lag:
            raise ValueError("max_lag: expected more than 0s; got 0s")
        self._admission = Admission(options.max_lag, context.random)
        self._holding = Holding(options.hold, options.max_held, context.clock, context.random)
        self._lags: list[float] = []
        self._turned_s = context.clock.monotonic()
        self._worked_s = thread_time()
        self._told_s: float | None = None  # when it last refused, as long as that is told
        self._in_flight = 0
        self._bounds = _bounds(options.max_in_flight)
        limit = options.memory_limit or cgroup_limit_bytes()
        self._memory_limit = limit
        self._fields, self._content = _answer(ceil(options.retry_after))
        self._declare()

    def _declare(self) -> None:
        metrics, labels = self.context.metrics, self.context.labels
        admission, holding = self._admission, self._holding
        help = "Requests refused by the overload guard."
        levels = [str(level) for level in range(LEVELS)]
        refused = metrics.counters("meshwright_overload_refused_total", help, "priority", levels, **labels)
        self._refused = list(refused.values())
        metrics.gauge("meshwright_overload_held", "Refusals that are held back.", lambda: holding.held, **labels)
        metrics.gauge(
            "meshwright_overload_border",
            "The priority below which everything is refused, added up over workers; -1 for none.",
            lambda: admission.border,
            **labels,
        )

    async def start(self) -> None:
        """Begin to feel how late the loop is."""
        resident_bytes()  # which opens its file: later there may be no descriptor for it
        self.context.pulse.feel(self._feel)

    async def close(self) -> None:
        """Feel nothing any more."""
        await self.context.pulse.leave(self._feel)

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        priority, bounds = request.priority, self._bounds
        if not self._admission.admits(priority) or (bounds is not None and self._in_flight >= bounds[priority]):
            self._refused[priority].value += 1
            if not self._holding.gives_at_once():
                await self._holding.wait()
            return Response(OverloadError.status, Headers.from_raw(self._fields.copy()), Body(self._content))
        if bounds is None:
            return await call_next(request)
        self._in_flight += 1
        try:
            response = await call_next(request)
        except BaseException:
            self._in_flight -= 1
            raise
        response.on_close(self._leave)
        return response

    def state(self) -> Mapping[str, Any]:
        """Return how late the loop is, and who is let in."""
        admission = self._admission
        return {
            "lag_s": admission.lag_s,
            "rate_per_s": admission.rate,
            "border": admission.border,
            "share_at_border": admission.share,
            "held": self._holding.held,
            "memory_bytes": resident_bytes(),
            "memory_limit_bytes": self._memory_limit,
            **({} if self._bounds is None else {"in_flight": self._in_flight}),
        }

    def _leave(self, error: BaseException | None) -> None:
        self._in_flight -= 1

    def _feel(self, lag_s: float, now: float) -> None:
        """Gather the lags of a turn, and end it when its time is over.

        The lower quartile of the time counts: a queue that stays shows in every beat, a pause of the machine in some.
        Idle is the time in which this thread, the loop's, did not run.
        """
        self._lags.append(lag_s)
        span_s = now - self._turned_s
        if span_s >= TURN_S:
            worked_s = thread_time()
            idle = max(0.0, 1 - (worked_s - self._worked_s) / span_s)
            self._worked_s = worked_s
            self._admission.turn(_lower_quartile(self._lags), span_s, idle=idle, spare=self._spare())
            self._holding.turn(span_s, now)
            self._lags.clear()
            self._turned_s = now
            self._tell()

    def _tell(self) -> None:
        """Log when refusing begins, and when it has ended for a while."""
        now, refuses = self._turned_s, self._admission.border != ALL
        if refuses:
            if self._told_s is None:
                lag_ms = self._admission.lag_s * 1000
                logger.warning("%s: begins to refuse: a turn of the loop takes %.0f ms", self.context.place, lag_ms)
            self._told_s = now
        elif self._told_s is not None and now - self._told_s >= CALM_S:
            self._told_s = None
            logger.info("%s: refuses nothing any more", self.context.place)

    def _spare(self) -> float:
        """Return the share of requests that memory leaves: 1 up to `max_memory`, down to 0 at the limit."""
        limit = self._memory_limit
        if limit is None:
            return 1.0
        soft = limit * self.options.max_memory
        return min(1.0, max(0.0, (limit - resident_bytes()) / max(1.0, limit - soft)))


def _lower_quartile(lags: Sequence[float]) -> float:
    """Return the lag that a quarter of the time was below; a long one stands for more of the time than a short one."""
    shares = [max(lag, BEAT_S) for lag in lags]
    left = sum(shares) / 4
    for lag, share in sorted(zip(lags, shares, strict=True)):
        left -= share
        if left <= 0:
            return lag
    raise AssertionError("a quarter of the whole is less than the whole")


def _bounds(most: int | None) -> list[int] | None:
    """Return how many may be in flight for a request of each priority to be let in."""
    if most is None:
        return None
    return [max(1, round(most * (1 - 0.05 * (LEVELS - 1 - priority)))) for priority in range(LEVELS)]


def _answer(retry_after_s: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return fields and content of the refusal, as every other problem has them (RFC 9457)."""
    error = OverloadError("the gateway is overloaded; try again later", headers={"retry-after": str(retry_after_s)})
    response = problem(error)
    assert response.body.data is not None
    return response.headers.raw, response.body.data
