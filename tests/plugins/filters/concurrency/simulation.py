"""A service under load in simulated time, behind a limit: who is let in, who is turned away, how long it takes."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count
from random import Random

from meshwright_plugins.filters.concurrency.gradient_limit import GradientLimit, GradientSettings

Latency = Callable[[float, Random], float]
"""How long the service works on one request, by the time when it begins."""


class Simulation:
    """Requests come at random, so many a second on average; `workers` of the service work on one each."""

    def __init__(self, work: Latency, *, rate: float, workers: int = 10_000, settings: GradientSettings) -> None:
        self.now = 0.0
        self.rate = rate
        self.work = work
        self.workers = workers
        self.limit = GradientLimit(settings, 0.0, Random(1))
        self.limits: list[tuple[float, int]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self.served = 0
        self.refused = 0
        self.took: list[tuple[float, float]] = []
        self._random = Random(2)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._free_at = [0.0] * min(workers, 2_000)
        self._arrive_later()

    def run(self, until: float) -> Simulation:
        while self._events[0][0] <= until:
            self.now, _, event = heapq.heappop(self._events)
            event()
        self.now = until
        return self

    def limit_at(self, time: float) -> int:
        return [limit for changed, limit in self.limits if changed <= time][-1]

    def _at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), event))

    def _arrive_later(self) -> None:
        self._at(self.now + self._random.expovariate(self.rate), self._arrive)

    def _arrive(self) -> None:
        self._arrive_later()
        if self.in_flight >= self.limit.limit:
            self.limit.stalled(self.now, self.in_flight)
            self._note()
            self.refused += 1
            return
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        began, starts = self.now, max(self.now, heapq.heappop(self._free_at))
        ends = starts + self.work(starts, self._random)
        heapq.heappush(self._free_at, ends)
        self._at(ends, lambda: self._answer(began))

    def _answer(self, began: float) -> None:
        self.limit.answered(began, self.now, self.in_flight)
        self._note()
        self.in_flight -= 1
        self.served += 1
        self.took.append((self.now, self.now - began))

    def _note(self) -> None:
        if not self.limits or self.limits[-1][1] != self.limit.limit:
            self.limits.append((self.now, self.limit.limit))
