"""`Admission`: which requests a process that is too late still lets in; no clock, no I/O and no answers go in here."""

from __future__ import annotations

from random import Random

from meshwright_sdk.priority import HIGHEST_PRIORITY

LEVELS = HIGHEST_PRIORITY + 1
ALL = -1
"""A border that every request is above."""
STEP_S = 0.1
LONGEST_STEP = 4.0
"""What a rate changes by is said for so many seconds; a turn counts for no more than so many of these steps."""
FASTEST_FALL = 0.1
FASTEST_RISE = 0.05
"""The shares by which the rate falls or rises in a step, at the most."""
IDLE_TAKEN = 0.5
"""It rises by no more than this share of the time that was idle: what is not there cannot be taken."""
LEAST_RISE = 0.003
"""It may rise by so much all the same: those who come as fast as they are served leave no time idle."""
MEMORY = 0.25
"""How much of what is known of the arrivals a turn replaces by what it has seen: after a pause all come at once, and
those of a high priority are not to be refused for it."""
DRAINING = 0.95
"""A lag below so much of the one before is getting shorter."""
SERVED_MEMORY = 0.1
"""How much of what is known of what was served a step replaces by what it has seen: it is about the last second's."""
LESS_A_TARGET = 0.03
LEAST_OF_SERVED = 0.7
"""The rate is no less than what was served, less LESS_A_TARGET of it for each length of the target that the lag is
above its target, and never less than LEAST_OF_SERVED of it: a pause makes the lag long, not the process slow."""
SLACK = 1.5
"""The rate is let go when it is so many times what comes."""
LEAST_SHARE = 0.02
"""So much is let in however bad it is, for else nothing would ever tell that it is better."""


class Admission:
    """Lets in as many requests as keep the lag of the event loop at its target, the highest priorities first.

    What it turns is the rate of requests that are let in: at the end of each turn it goes up or down by a share that
    grows with the distance of the lag from the target. From how many came of each priority follows the border: what is
    above it passes, what is below it does not, and of what is on it a share does, so that there are no steps.
    """

    __slots__ = ("_arrivals", "_came", "_let_in", "_random", "_served", "_target_s", "border", "lag_s", "rate", "share")

    def __init__(self, target_lag_s: float, random: Random) -> None:
        self._target_s = target_lag_s
        self._random = random.random
        self._came = [0] * LEVELS
        self._let_in = 0
        self._served = 0.0
        self._arrivals = [0.0] * LEVELS
        self.lag_s = 0.0
        self.rate: float | None = None  # None as long as everything is let in
        self.border = ALL
        self.share = 1.0

    def admits(self, priority: int) -> bool:
        """Count one request, and return whether it is let in."""
        self._came[priority] += 1
        border = self.border
        if priority > border or (priority == border and self._random() < self.share):
            self._let_in += 1
            return True
        return False

    def turn(self, lag_s: float, span_s: float, *, idle: float = 1.0, spare: float = 1.0) -> None:
        """End a turn of `span_s` seconds with that lag, for `idle` of which, 0 to 1, the process did not work.

        `spare` is the share of requests that other limits leave, 0 to 1.
        """
        came = sum(self._came) / span_s
        self._remember(span_s)
        self._steer(lag_s, came, self._let_in / span_s, idle, min(span_s / STEP_S, LONGEST_STEP))
        self._let_in = 0
        self._came = [0] * LEVELS
        allowed = sum(self._arrivals) * max(spare, LEAST_SHARE) if spare < 1 else None
        if self.rate is not None:
            allowed = self.rate if allowed is None else min(allowed, self.rate)
        self._draw(allowed)

    def _remember(self, span_s: float) -> None:
        self._arrivals = [
            known + MEMORY * (count / span_s - known) for known, count in zip(self._arrivals, self._came, strict=True)
        ]

    def _steer(self, lag_s: float, came: float, let_in: float, idle: float, steps: float) -> None:
        """Turn the rate; while a queue that is too long gets shorter by itself it stays, or it would fall too far."""
        before_s, self.lag_s = self.lag_s, lag_s
        self._served += SERVED_MEMORY * steps * (let_in - self._served)
        distance = (self._target_s - lag_s) / self._target_s  # 1 without a lag, -1 at twice the target
        if self.rate is None:
            if distance >= 0 or before_s <= self._target_s:
                return  # one late turn is no overload
            self.rate = max(let_in, self._served)
        if distance > 0:
            self.rate *= 1 + steps * min(FASTEST_RISE * distance, max(IDLE_TAKEN * idle, LEAST_RISE))
        elif lag_s >= DRAINING * before_s:
            self.rate *= 1 + steps * FASTEST_FALL * max(-1.0, distance)
        usual = max(came, sum(self._arrivals))
        of_served = max(LEAST_OF_SERVED, 1 + LESS_A_TARGET * min(0.0, distance))
        self.rate = max(self.rate, of_served * self._served, LEAST_SHARE * usual, 1.0)
        if self.rate > SLACK * usual:
            self.rate = None

    def _draw(self, allowed: float | None) -> None:
        """Find the border that lets in so many a second, beginning with the highest priority."""
        self.border, self.share = ALL, 1.0
        if allowed is None:
            return
        for priority in range(HIGHEST_PRIORITY, -1, -1):
            arrivals = self._arrivals[priority]
            if arrivals > allowed:
                self.border, self.share = priority, allowed / arrivals
                return
            allowed -= arrivals
