"""`GradientLimit`: how many requests a service can take at once, found out from its latency; no I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from random import Random

LEAST_SAMPLES = 10
MOST_SAMPLES = 500
LEAST_GRADIENT = 0.25
"""However slow it gets, one window leaves the limit a quarter and the headroom (before smoothing)."""
DRIFT = 0.05
"""How much of the way to the present latency the usual one moves in a window that is no different from it."""
PROBE_SHARE = 0.25
MOST_RISE = 2.0
"""How many times the usual latency may become what it was, by one probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientSettings:
    """What the limit is made of; durations in seconds."""

    initial: int = 20
    least: int = 3
    most: int = 200
    tolerance: float = 1.5
    smoothing: float = 0.5
    window_s: float = 0.1
    probe_every_s: float = 30.0
    slowest_s: float | None = None


class GradientLimit:
    """A limit that follows the gradient between the usual latency of a service and its present one.

    At the end of each window, with the median latency of its answers:

        gradient = usual * tolerance / median, from 1/4 to 1
        limit   += smoothing * (limit * gradient + sqrt(limit) - limit), from least to most

    The limit changes only while it is in use: when half of it or more was in flight. The square root is the headroom by
    which it grows as long as nothing gets slower, and the queue that is allowed at the service.

    `usual` is the latency without a queue. It follows the median while that is about the same, and at once when that
    is much lower. As a queue that stays would become usual itself, at first and from time to time the limit is a
    quarter for one window (a probe), and what is measured then is usual; at most twice as much as before, so that a
    service that has become slow is believed only bit by bit. `slowest_s` is a bound for it.

    A service that gives no answer at all tells no latency; then the time without one stands for it (`stalled`).
    Time is handed in, in seconds that never go back.
    """

    __slots__ = (
        "_counts_from",
        "_ends",
        "_exact",
        "_heard",
        "_next_probe",
        "_peak",
        "_random",
        "_samples",
        "_settings",
        "limit",
        "probing",
        "usual_s",
    )

    def __init__(self, settings: GradientSettings, now: float, random: Random) -> None:
        self._settings = settings
        self._random = random
        self._exact = float(settings.initial)
        self.usual_s: float | None = None
        self._samples: list[float] = []
        self._peak = 0
        self._ends = now
        self._begin_probe(now)
        self._open(now)

    def answered(self, began: float, now: float, in_flight: int) -> None:
        """Take note of a good answer to a request that was sent at `began`; `in_flight` counts it too."""
        if began < self._counts_from:
            return
        self._heard = now
        if len(self._samples) < MOST_SAMPLES:
            self._samples.append(now - began)
        self._peak = max(self._peak, in_flight)
        if now >= self._ends and len(self._samples) >= LEAST_SAMPLES:
            self._close(now)

    def failed(self, began: float, now: float, in_flight: int) -> None:
        """Take note of a failure, a time-out or a client that left; what failed quickly says nothing of latency."""
        if self.usual_s is not None and now - began > self._settings.tolerance * self.usual_s:
            self.answered(began, now, in_flight)

    def stalled(self, now: float, in_flight: int) -> bool:
        """Take note that there was no room for a request; return whether the limit changed.

        That alone says that the limit is in use. When there has been no answer for much longer than usual, everything
        that was in flight has taken that long at least.
        """
        self._peak = max(self._peak, in_flight)
        waited_s = now - self._heard
        patience_s = max(self._settings.window_s, 2 * self._settings.tolerance * (self.usual_s or 0.0))
        if self.probing or waited_s < patience_s:
            return False
        self._heard = now  # the samples stay, or a slow service would never have enough of them
        self._move(waited_s)
        return True

    def _close(self, now: float) -> None:
        median = max(sorted(self._samples)[len(self._samples) // 2], 1e-6)
        if self.probing:
            self._believe(median)
            self._end_probe(now)
        else:
            self._follow(median)
            if 2 * self._peak >= self._exact:
                self._move(median)
                if now >= self._next_probe:
                    self._begin_probe(now)
        self._open(now)

    def _follow(self, median: float) -> None:
        usual, tolerance = self.usual_s, self._settings.tolerance
        if usual is None or median < usual / tolerance:
            self._set_usual(median)
        elif median <= usual * tolerance:
            self._set_usual(usual + DRIFT * (median - usual))

    def _believe(self, median: float) -> None:
        self._set_usual(median if self.usual_s is None else min(median, MOST_RISE * self.usual_s))

    def _set_usual(self, latency_s: float) -> None:
        slowest = self._settings.slowest_s
        self.usual_s = latency_s if slowest is None else min(latency_s, slowest)

    def _move(self, latency_s: float) -> None:
        assert self.usual_s is not None
        settings, before = self._settings, self._exact
        gradient = min(1.0, max(LEAST_GRADIENT, settings.tolerance * self.usual_s / latency_s))
        wanted = before * gradient + sqrt(before)
        after = before + settings.smoothing * (wanted - before)
        self._exact = min(max(after, settings.least), settings.most)
        self.limit = int(self._exact)

    def _begin_probe(self, now: float) -> None:
        self.probing = True
        self.limit = max(self._settings.least, int(self._exact * PROBE_SHARE))
        self._counts_from = now  # what was sent before stood in the queue

    def _end_probe(self, now: float) -> None:
        self.probing = False
        self.limit = int(self._exact)
        self._plan_probe(now)

    def _plan_probe(self, now: float) -> None:
        """Spread the probes of many gateways, so that they do not take turns in being let in."""
        self._next_probe = now + self._settings.probe_every_s * self._random.uniform(0.8, 1.2)

    def _open(self, now: float) -> None:
        """Begin a window; it is not shorter than the service takes, for else nothing of the last change shows."""
        self._samples.clear()
        self._peak = 0
        self._heard = now
        self._ends = now + max(self._settings.window_s, self.usual_s or 0.0)
