"""`hedge`: another attempt beside one that takes long. Attempts after a failure go elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveInt, StringConstraints

from meshwright_plugins.filters.hedge.race import Race
from meshwright_sdk import (
    CallNext,
    Context,
    Duration,
    Filter,
    Method,
    OneOrMany,
    Options,
    Request,
    Response,
    RetryBudgetOptions,
    RetryBudgetOrShare,
    RollingQuantile,
    Timeouts,
)

Percentile = Annotated[str, StringConstraints(pattern="^p[1-9][0-9]$")]
_SERVER_ERROR = 500


class HedgeOptions(Options):
    """When another attempt begins, and for which requests."""

    after: Duration | Percentile = Field(
        "p95",
        description="How long an answer is waited for before another attempt begins: a time such as 50ms, or the time "
        "in which such a share of the last answers came, p50 to p99.",
        examples=["50ms"],
    )
    min_answers: PositiveInt = Field(
        100, description="With a share: nothing is hedged before so many answers in a worker."
    )
    attempts: int = Field(
        2, ge=2, le=5, description="Attempts in all, the first one included; each begins `after` the one before."
    )
    methods: Annotated[tuple[Method, ...], OneOrMany("a method"), Field(min_length=1)] = Field(
        ("GET", "HEAD", "OPTIONS"),
        description="Requests that may be made twice at the same time; add no other than idempotent ones.",
    )
    budget: RetryBudgetOrShare = Field(
        RetryBudgetOptions(), description="How many further attempts the traffic may make, such as `20%`."
    )


class Hedge(Filter[HedgeOptions]):
    """Ask another endpoint too when an answer takes long, and take the answer that comes first.

    Most of what makes the slowest answers slow (a pause, a queue, a lost packet) is of one endpoint and one moment,
    so the other one nearly always answers at once. With `after: p95` one request in twenty is asked twice. The first
    good answer is taken, the other attempts are cancelled and their connections closed.

    An answer of 5xx or a failure is not taken while another attempt is on the way; when all have failed, that of the
    first attempt is the answer. A first attempt that fails before the time is over is not hedged: trying again is for
    `retry`, which belongs around `hedge`, or inside it. Only requests of `methods` are hedged, and only with a body
    that is there whole, as most without a body and short ones are.

    Each further attempt counts against the budget, as those of `retry` do: `budget.share` of the requests of the last
    `budget.window`, or `budget.minimum`, in each worker; where a filter around it has a budget, against that one. A
    service that has become slow as a whole is so not asked twice for everything.

    The time that a percentile stands for is measured of this filter's last 1000 to 2000 answers, to the head, in each
    worker. Where another attempt was faster, the time that the first had taken by then is measured.

    Metrics: `meshwright_hedge_attempts_total` (attempts beyond the first), `meshwright_hedge_wins_total` (those whose
    answer was taken) and `meshwright_hedge_refused_total` (those the budget did not allow), with the labels `service`
    and `route`.

    Example:
        filters:
          - hedge: {after: p95, budget: 10%}
    """

    goes_inside: ClassVar[Mapping[str, str]] = {
        "fallback": "its answer would win over one that is still to come",
        "cache": "what it has stored needs no second attempt, and both attempts would be looked up and stored",
        "rate_limit": "each attempt counts against the client's limit",
        "quota": "each attempt counts against the client's quota",
        "mirror": "each attempt is mirrored",
    }

    def __init__(self, options: HedgeOptions, context: Context) -> None:
        super().__init__(options, context)
        self._methods = frozenset(options.methods)
        self._times: RollingQuantile | None = None
        self._fixed_s = inf
        if isinstance(options.after, Duration):
            self._fixed_s = float(options.after)
        else:
            self._times = RollingQuantile(int(options.after[1:]) / 100, minimum=options.min_answers)
        self._now = context.clock.monotonic
        self._timeouts = Timeouts(context.clock)
        self._budget = options.budget.make(self._now)
        labels = context.labels
        metrics = context.metrics
        self._attempts = metrics.counter(
            "meshwright_hedge_attempts_total", "Attempts beside the first.", None, **labels
        )
        self._wins = metrics.counter(
            "meshwright_hedge_wins_total", "Attempts beside the first whose answer was taken.", None, **labels
        )
        self._refused = metrics.counter(
            "meshwright_hedge_refused_total", "Attempts that the budget did not allow.", None, **labels
        )

    async def __call__(self, request: Request, call_next: CallNext) -> Response:
        if request.budget is None:
            request.budget = self._budget
            self._budget.count()
        if request.method not in self._methods or request.body.data is None or request.upgrade:
            return await call_next(request)
        times, timeouts, began = self._times, self._timeouts, self._now()
        after_s = self._fixed_s if times is None else times.value
        if after_s == inf:
            return await self._measured(request, call_next, began)
        race = Race(self, request, call_next, timeouts.current_task())
        timeouts.start(race, began + after_s)
        try:
            response = await call_next(request)
        except BaseException as error:
            race.stop()
            if race.alone:
                raise
            response = await race.decide(error)
        else:
            race.stop()
            if not race.alone:
                response = await race.decide(response)
        if times is not None and response.status < _SERVER_ERROR:
            times.observe(self._now() - began)
        return response

    async def _measured(self, request: Request, call_next: CallNext, began: float) -> Response:
        """Learn how long answers take, before anything can be hedged."""
        response = await call_next(request)
        if self._times is not None and response.status < _SERVER_ERROR:
            self._times.observe(self._now() - began)
        return response

    def may_begin(self, request: Request) -> bool:
        """Return whether another attempt may begin now."""
        assert request.budget is not None
        if request.budget.spend():
            return True
        self._refused.value += 1
        return False

    def has_begun(self) -> None:
        """Take note of an attempt beside the first: one whose request was answered in the same turn never begins."""
        self._attempts.value += 1

    def wait_again(self, race: Race) -> None:
        """Have the next attempt begin when this one takes too long as well."""
        self._timeouts.start(race, self._now() + self._after_s)

    def has_won(self) -> None:
        """Take note that an attempt beside the first has answered."""
        self._wins.value += 1

    @property
    def _after_s(self) -> float:
        return self._fixed_s if self._times is None else self._times.value

    def state(self) -> Mapping[str, Any]:
        after_s = self._after_s
        return {
            "after_s": None if after_s == inf else after_s,
            "attempts": self._attempts.value,
            "wins": self._wins.value,
            "refused": self._refused.value,
            "budget": dict(self._budget.state()),
        }
