"""`Breaker`: when calls go through and when they had better not be made; what a call is goes elsewhere.

A function of the time it is given and of what became of the calls: it waits for nothing, and knows no clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any

from meshwright_sdk.rolling import RollingCounts

CLOSED, HALF_OPEN, OPEN = STATES = ("closed", "half_open", "open")


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRules:
    """When a breaker opens, for how long, and what closes it.

    It opens after `consecutive` failures in a row, or when so large a share of the calls of the last `window_s`
    seconds failed (`failure_rate`) or was slow (`slow_rate`), of `minimum` calls at least; None leaves a rule out.
    It stays open for `open_s` seconds, each time that a trial fails `growth` times as long as before, up to
    `longest_open_s`. Half open it lets `trials` calls through at a time; `successes` of them in a row close it.
    """

    consecutive: int | None = None
    failure_rate: float | None = None
    slow_rate: float | None = None
    minimum: int = 20
    window_s: float = 10.0
    open_s: float = 10.0
    growth: float = 1.0
    longest_open_s: float = 300.0
    trials: int = 3
    successes: int = 3


class Breaker:
    """Closed, open or half open, by what became of the calls; times are seconds that never go back.

    Ask `take` for a permit before a call, and hand it back by exactly one of `succeeded`, `slow`, `failed` and
    `unjudged`, whatever happens. While it is closed, `permit` is what `take` would return, so that the attribute can
    be read in place of a call; then a call costs two comparisons and an addition. What was begun in a state that is
    over no longer counts. It opens with a failed or slow call and never with a good one.

    `moved` is called after each change of state, with the state before.
    """

    __slots__ = (
        "_moved",
        "_open_s",
        "_state_number",
        "consecutive",
        "forced",
        "passed",
        "permit",
        "reason",
        "refused",
        "rules",
        "running",
        "since",
        "state",
        "until",
        "window",
    )

    def __init__(self, rules: BreakerRules, now: float, moved: Callable[[str], None] | None = None) -> None:
        self.rules = rules
        self.window = RollingCounts(rules.window_s, now)
        self.state = CLOSED
        self.forced = False
        self.reason = ""
        self.since = now
        self.until = inf
        self.permit = self._state_number = 1
        self.consecutive = 0
        self.running = 0
        self.passed = 0
        self.refused = 0
        self._open_s = rules.open_s
        self._moved = moved

    def take(self, now: float) -> int:
        """Return a permit for one call, which is more than 0, or 0 when it must not be made."""
        if self.permit:
            return self.permit
        self.look(now)
        if self.admits:
            self.running += 1
            return self._state_number
        self.refused += 1
        return 0

    def look(self, now: float) -> str:
        """Return the state, which is half open from the moment on that the time to be open is over."""
        if self.state == OPEN and now >= self.until:
            self._move(HALF_OPEN, now, f"open for {self.until - self.since:g} s")
        return self.state

    @property
    def admits(self) -> bool:
        """Whether a call that began now would get a permit, as of the last look."""
        return self.permit > 0 or (self.state == HALF_OPEN and self.running < self.rules.trials)

    def succeeded(self, permit: int, now: float) -> None:
        """Take note of a good call."""
        if permit != self._state_number:
            return
        if not self.permit:
            self._passed(now)
            return
        window = self.window
        if now >= window.ends:
            window.turn(now)
        window.calls += 1
        self.consecutive = 0

    def slow(self, permit: int, now: float) -> None:
        """Take note of a call that was answered, but too late; among trials it is a failure."""
        if permit == self._state_number:
            self.consecutive = 0
            self._bad(now, 0, 1)

    def failed(self, permit: int, now: float, *, slow: bool = False) -> None:
        """Take note of a call that failed, and was slow too or not."""
        if permit == self._state_number:
            self.consecutive += 1
            self._bad(now, 1, int(slow))

    def unjudged(self, permit: int) -> None:
        """Take note of a call that nobody waited for any longer, or that never reached who is judged."""
        if permit == self._state_number and not self.permit:
            self.running -= 1

    def force(self, state: str | None, now: float) -> bool:
        """Keep it `open` or `closed` from now on; None lets a forced one start anew, closed and without memory.

        Returns whether that is news: forcing it again the same way changes nothing.
        """
        if state not in (OPEN, CLOSED, None):
            raise ValueError(f"state: expected open, closed or None; got {state!r}")
        if (state == self.state and self.forced) or (state is None and not self.forced):
            return False
        self.forced = state is not None
        self._move(state or CLOSED, now, f"forced {state} by hand" if state else "given free by hand")
        self.until = inf
        return True

    def wait_s(self, now: float) -> float:
        """Return in how many seconds a call that is refused now may be let through, as far as that is known."""
        wait_s = self.rules.open_s if self.until == inf else self.until - now
        return max(0.0, wait_s) if self.state == OPEN else 0.0

    def describe(self, now: float) -> dict[str, Any]:
        """Return what people want to know of it, as JSON can say it."""
        self.look(now)
        self.window.turn(now)
        shown: dict[str, Any] = {
            "state": self.state,
            "forced": self.forced,
            "reason": self.reason,
            "for_s": round(now - self.since, 3),
            "calls": self.window.calls,
            "failures": self.window.failures,
            "slow": self.window.slow,
            "consecutive_failures": self.consecutive,
            "refused": self.refused,
        }
        if self.state == OPEN and not self.forced:
            shown["half_open_in_s"] = round(self.until - now, 3)
        if self.state == HALF_OPEN:
            shown["trials_running"], shown["trials_passed"] = self.running, self.passed
        return shown

    def _bad(self, now: float, failed: int, slow: int) -> None:
        window = self.window
        window.turn(now)
        window.calls += 1
        window.failures += failed
        window.slow += slow
        if self.forced:
            return
        if self.state == HALF_OPEN:
            self._open_s = min(self._open_s * self.rules.growth, self.rules.longest_open_s)
            self._open(now, "a trial failed" if failed else "a trial was slow")
        elif reason := self._against():
            self._open(now, reason)

    def _against(self) -> str:
        """Return what speaks against being closed, or nothing."""
        rules, window = self.rules, self.window
        if rules.consecutive is not None and self.consecutive >= rules.consecutive:
            return f"failures in a row: {self.consecutive}"
        if window.calls < rules.minimum:
            return ""
        if rules.failure_rate is not None and window.failures / window.calls >= rules.failure_rate:
            return f"{window.failures} of {window.calls} calls failed"
        if rules.slow_rate is not None and window.slow / window.calls >= rules.slow_rate:
            return f"{window.slow} of {window.calls} calls were slow"
        return ""

    def _open(self, now: float, reason: str) -> None:
        self.until = now + self._open_s
        self._move(OPEN, now, reason)

    def _passed(self, now: float) -> None:
        self.running -= 1
        self.passed += 1
        if self.passed >= self.rules.successes:
            self._move(CLOSED, now, f"{self.passed} trials passed")

    def _move(self, state: str, now: float, reason: str) -> None:
        before, self.state = self.state, state
        self.reason = reason
        self.since = now
        self.running = self.passed = 0
        self._state_number += 1
        self.permit = 0
        if state == CLOSED:
            self.permit = self._state_number
            self.consecutive = 0
            self.window.clear(now)
            self._open_s = self.rules.open_s
        if self._moved is not None and (before != state):
            self._moved(before)
