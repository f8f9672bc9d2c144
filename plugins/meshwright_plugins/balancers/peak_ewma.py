"""`peak_ewma`: the endpoint that answers sooner, of two drawn by chance; taking endpoints out goes elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any

from pydantic import Field

from meshwright_sdk import (
    Attempt,
    Context,
    Draws,
    Duration,
    Endpoint,
    Options,
    PositiveDuration,
    PreparedBalancer,
    Request,
)

_FLOOR_S = 1e-6
"""No latency counts for less, so that requests in flight count when the last answer is long ago."""


class PeakEwmaOptions(Options):
    """How latencies are judged."""

    decay: PositiveDuration = Field(
        Duration("10s"), description="After this time a latency counts for a third (1/e) of what it did."
    )
    initial: PositiveDuration = Field(
        Duration("30ms"), description="What a new endpoint counts as when none has answered; else the mean of those."
    )
    failure: Duration = Field(
        Duration("1s"), description="What a failed attempt counts as at least, so that failing fast attracts nobody."
    )


class _Latency:
    """What is known of one endpoint: its latency in seconds as it was at the time `stamp`."""

    __slots__ = ("measured", "seconds", "stamp")

    def __init__(self, seconds: float, stamp: float) -> None:
        self.seconds = seconds
        self.stamp = stamp
        self.measured = False

    def at(self, now: float, decay_s: float) -> float:
        """Return the latency as it counts now: it fades, so that a slow endpoint is tried again some day."""
        return self.seconds * exp((self.stamp - now) / decay_s)

    def observe(self, seconds: float, now: float, decay_s: float) -> None:
        """Take an answer in: a worse one counts at once, a better one the more, the longer the last one is ago.

        The first one takes the place of the guess.
        """
        kept = exp((self.stamp - now) / decay_s) if self.measured else 0.0
        self.seconds = max(seconds, self.seconds * kept + seconds * (1 - kept))
        self.stamp = now
        self.measured = True


class _Prepared:
    """A list of endpoints, with their latencies, draws by their weights, and what a request in flight adds to each."""

    __slots__ = ("draw", "endpoints", "latencies", "loads")

    def __init__(self, endpoints: Sequence[Endpoint], latencies: list[_Latency], draws: Draws) -> None:
        self.endpoints = endpoints
        self.latencies = latencies
        mean = sum(draws.weights) / len(endpoints)
        self.loads = [mean / max(weight, 1) for weight in draws.weights]
        self.draw = draws.two


class PeakEwma(PreparedBalancer[PeakEwmaOptions, _Prepared]):
    """Draw two endpoints by weight and take the one of less cost, which is latency x (requests in flight + 1).

    The requests in flight are those for its weight: a heavy endpoint may have more of them at the same cost.
    The latency of an endpoint is the time to its answers' heads, as a moving average that fades by `decay` and goes up
    at once when an answer takes longer: a peak is believed, a recovery has to prove itself (Finagle calls it Peak
    EWMA). An attempt that was given up counts when it already took longer than expected, a failed one for at
    least `failure`. A new endpoint counts as the mean of the others.
    """

    def __init__(self, options: PeakEwmaOptions, context: Context) -> None:
        super().__init__(options, context)
        self._decay_s = float(options.decay)
        self._now = context.clock.monotonic
        self._known: dict[Endpoint, _Latency] = {}

    def prepare(self, endpoints: Sequence[Endpoint]) -> _Prepared:
        new = [endpoint for endpoint in endpoints if endpoint not in self._known]
        if new:
            now, prior = self._now(), self._prior()
            self._known.update((endpoint, _Latency(prior, now)) for endpoint in new)
        draws = Draws([endpoint.weight for endpoint in endpoints], self.context.random)
        return _Prepared(endpoints, [self._known[endpoint] for endpoint in endpoints], draws)

    def choose(self, prepared: _Prepared, request: Request) -> Endpoint | None:
        first, second = prepared.draw()
        one, other = prepared.endpoints[first], prepared.endpoints[second]
        now = self._now()
        latency = prepared.latencies[first].at(now, self._decay_s) + _FLOOR_S
        other_latency = prepared.latencies[second].at(now, self._decay_s) + _FLOOR_S
        cost = latency * (one.in_flight * prepared.loads[first] + 1)
        return other if other_latency * (other.in_flight * prepared.loads[second] + 1) < cost else one

    def removed(self, endpoint: Endpoint) -> None:
        self._known.pop(endpoint, None)

    def ended(self, attempt: Attempt) -> None:
        latency = self._known.get(attempt.endpoint)
        if latency is None:
            return
        now, seconds = self._now(), attempt.seconds
        if attempt.failed:
            seconds = max(seconds, self.options.failure)
        elif attempt.response is None and seconds <= latency.at(now, self._decay_s):
            return  # given up before it told anything
        latency.observe(seconds, now, self._decay_s)

    def state(self) -> Mapping[str, Any]:
        """Return the latency of each endpoint as it counts now."""
        now = self._now()
        return {
            "latency_ms": {
                endpoint.url: round(latency.at(now, self._decay_s) * 1e3, 3)
                for endpoint, latency in self._known.items()
            }
        }

    def _prior(self) -> float:
        now = self._now()
        measured = [latency.at(now, self._decay_s) for latency in self._known.values() if latency.measured]
        return sum(measured) / len(measured) if measured else self.options.initial
