"""`slow_start`: new and recovered endpoints begin with little traffic; who decides that one is well goes elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from meshwright_sdk import Context, Duration, Endpoint, EndpointPolicy, Options, Percent, PositiveDuration

STEPS = 20
"""A window has at least so many steps."""


class SlowStartOptions(Options):
    """How long it takes to the full weight, and by which way."""

    window: PositiveDuration = Field(Duration("30s"), description="Time from the first weight to the full one.")
    start: Percent = Field(Percent("10%"), description="Share of its weight that an endpoint begins with.")
    aggression: Annotated[float, Field(gt=0, le=100)] = Field(
        1.0, description="1: the weight grows evenly; above 1 it grows faster at first, below 1 more slowly."
    )
    step: PositiveDuration = Field(
        Duration("1s"), description="Time from one weight to the next; a twentieth of the window at most."
    )


class SlowStart(EndpointPolicy[SlowStartOptions]):
    """Give an endpoint that is new, or in again, more and more of its weight, so that it can warm up.

    After a time `t` it has `max(start, (t / window) ** (1 / aggression))` of its weight, until that is all of it.
    Endpoints that were there from the start have theirs at once, and so do all when a reload brings this policy.
    Whatever has taken an endpoint out, it begins anew when it is in again; on its way it shares the traffic with the
    others by weight, so balancers that know no weights (`round_robin`, `random`) do not notice. Where all endpoints are
    new at the same time, none has less than another.

    Metric: `meshwright_slow_start_endpoints` (by `service`): endpoints on their way, of all workers.

    Example:
        policies:
          - slow_start: {window: 1m, start: 5%, aggression: 1.5}
    """

    def __init__(self, options: SlowStartOptions, context: Context) -> None:
        super().__init__(options, context)
        self._now = context.clock.monotonic
        self._step_s = min(float(options.step), options.window / STEPS)
        self._first: set[Endpoint] | None = None
        self._since: dict[Endpoint, float] = {}
        self._ticker: asyncio.Task[None] | None = None
        self._count = context.metrics.gauge(
            "meshwright_slow_start_endpoints",
            "Endpoints that are given more and more of their weight, of all workers.",
            service=context.service or "",
        )

    async def start(self) -> None:
        """Have the group tell who is out, and in again."""
        self.service.group.watch(self._changed)

    def added(self, endpoint: Endpoint) -> None:
        """Let a new endpoint begin, unless it is one of the first or is out."""
        if self._first is None:
            self._first = set(self.service.group.all)
        if endpoint not in self._first and not endpoint.ejections:
            self._begin(endpoint)

    def removed(self, endpoint: Endpoint) -> None:
        """Forget it."""
        if self._first is not None:
            self._first.discard(endpoint)
        self._end(endpoint)

    async def close(self) -> None:
        """Count no endpoint any more."""
        for endpoint in list(self._since):
            self._end(endpoint)

    def state(self) -> Mapping[str, Any]:
        """Return the endpoints on their way, with the share of their weight that they have."""
        shares = {endpoint.url: round(endpoint.factors.get(self.name, 1.0), 2) for endpoint in self._since}
        return {"endpoints": shares}

    def _changed(self, endpoint: Endpoint) -> None:
        if endpoint.ejections:
            self._end(endpoint)
        else:
            self._begin(endpoint)

    def _begin(self, endpoint: Endpoint) -> None:
        if endpoint not in self._since:
            self._count.value += 1
        self._since[endpoint] = self._now()
        self.service.group.scale(endpoint, self.name, self._share(0.0))
        if self._ticker is None:
            self._ticker = self.context.tasks.spawn(self._tick(), name=f"slow start of {self.service.name}")

    def _end(self, endpoint: Endpoint) -> None:
        if self._since.pop(endpoint, None) is not None:
            self._count.value -= 1
            self.service.group.scale(endpoint, self.name, 1.0)

    def _share(self, seconds: float) -> float:
        grown = min(1.0, seconds / self.options.window) ** (1 / self.options.aggression)
        return float(max(self.options.start, grown))

    async def _tick(self) -> None:
        """Weigh anew in each step while an endpoint is on its way; then there is nothing to do."""
        while self._since:
            await self.context.clock.sleep(self._step_s)
            now = self._now()
            shares = {endpoint: self._share(now - since) for endpoint, since in self._since.items()}
            self.service.group.scale_all(self.name, shares)
            for endpoint in [each for each, share in shares.items() if share >= 1.0]:
                self._end(endpoint)
        self._ticker = None
